"""MobileNets round their channels and have smooth activations of their own."""
import numpy as np
import pytest

from images.models import mobilenet_utils
from images.utils.tf1 import tf


@pytest.mark.parametrize(('channels', 'expected'), [
    (3, 8), (12, 16), (11.2, 16), (16.8, 16), (22.4, 24), (60, 64), (44.8, 48), (59.9, 56)])
def test_channels_become_multiples_of_eight(channels, expected):
  assert mobilenet_utils.make_divisible(channels) == expected


def test_hard_swish_is_zero_below_and_identity_above_three():
  with tf.Graph().as_default(), tf.Session() as session:
    x = np.array([-4, -3, 0, 1, 3, 5], np.float32)
    np.testing.assert_allclose(session.run(mobilenet_utils.hard_swish(tf.constant(x))),
                               [0, 0, 0, 4 / 6, 3, 5], rtol=1e-6)


@pytest.mark.parametrize('dtype', [tf.float16, tf.bfloat16])
def test_hard_swish_keeps_half_precision(dtype):
  with tf.Graph().as_default():
    assert mobilenet_utils.hard_swish(tf.zeros([2], dtype)).dtype == dtype
