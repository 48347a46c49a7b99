"""The decorator of network functions knows their sizes and checks their images."""
import numpy as np
import pytest

from images.models import model_utils
from images.utils.tf1 import tf


@model_utils.network(default_image_size=32, smallest_image_size=8)
def _network(inputs, num_classes=10):
  del num_classes
  return inputs


def test_sizes_are_attributes():
  assert (_network.default_image_size, _network.smallest_image_size) == (32, 8)


@pytest.mark.parametrize('size', [[8, 8], [9, 200], [None, None], [None, 8]])
def test_images_that_are_large_enough_or_of_unknown_size_pass(size):
  with tf.Graph().as_default():
    _network(tf.placeholder(tf.float32, [None, *size, 3]))


@pytest.mark.parametrize('size', [[7, 8], [8, 7], [None, 7], [0, 8]])
def test_small_images_are_told_the_smallest_size(size):
  with tf.Graph().as_default():
    images = tf.placeholder(tf.float32, [None, *size, 3])
    with pytest.raises(ValueError, match='_network .*smallest size is 8 x 8'):
      _network(images)


def test_images_need_four_dimensions():
  with tf.Graph().as_default(), pytest.raises(ValueError, match='batch, height, width'):
    _network(tf.zeros([32, 32, 3]))


@pytest.mark.parametrize('dtype', [tf.float32, tf.float16, tf.bfloat16])
def test_the_average_of_many_positions_keeps_its_digits(dtype):
  values = np.linspace(0, 1, 112 * 112 * 2).reshape(1, 112, 112, 2)
  with tf.Graph().as_default(), tf.Session() as session:
    average = model_utils.average(tf.constant(values, dtype))
    assert average.dtype == dtype
    assert average.shape == [1, 1, 1, 2]
    np.testing.assert_allclose(session.run(average).astype(np.float32).ravel(), 0.5, rtol=4e-3)
