"""What the units of residual networks leave out of a shortcut is what pooling leaves out."""
import numpy as np
import pytest

from images.models import resnet_utils
from images.utils import device_utils
from images.utils.tf1 import tf


def poolings():
  return [op for op in tf.get_default_graph().get_operations() if op.type.startswith('MaxPool')]


@pytest.mark.parametrize(('size', 'stride', 'pools'), [
    ((4, 6), 2, False), ((6, 3), 3, False), ((4, 5), 2, True), ((3, 4), 2, True),
    ((4, 6), 1, False)])
def test_every_second_row_and_column(size, stride, pools):
  values = np.random.default_rng(1).normal(size=[2, *size, 3]).astype(np.float32)
  with tf.Graph().as_default(), tf.Session() as session:
    images = tf.constant(values)
    net = resnet_utils.subsample(images, stride, 'shortcut')
    expected = values[:, ::stride, ::stride]
    assert net.shape == expected.shape
    found, gradient = session.run([net, tf.gradients(net, images, 2 * net)[0]])
    assert bool(poolings()) == pools
  np.testing.assert_array_equal(found, expected)
  seen = np.zeros_like(values)
  seen[:, ::stride, ::stride] = 2 * expected
  np.testing.assert_array_equal(gradient, seen)


def test_it_pools_images_of_unknown_size_and_on_a_gpu(monkeypatch):
  with tf.Graph().as_default():
    resnet_utils.subsample(tf.placeholder(tf.float32, [None, None, None, 3]), 2, 'shortcut')
    assert len(poolings()) == 1
    net = resnet_utils.subsample(tf.placeholder(tf.float32, [None, 4, 4, 3]), 2, 'shortcut')
    assert net.shape.as_list() == [None, 2, 2, 3]
    assert len(poolings()) == 1
    monkeypatch.setattr(device_utils, 'accelerator', lambda: '/gpu:0')
    resnet_utils.subsample(tf.zeros([1, 4, 4, 3]), 2, 'shortcut')
    assert len(poolings()) == 2
