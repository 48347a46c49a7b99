"""LeNet takes any image that survives two halvings."""
import pytest

from images.models import lenet
from images.utils.tf1 import tf


def test_images_may_be_small():
  with tf.Graph().as_default():
    logits, end_points = lenet.lenet(tf.zeros([2, 4, 4, 1]), num_classes=10)
    assert logits.shape == [2, 10]
    assert end_points['pool2'].shape == [2, 1, 1, 64]


def test_too_small_images_are_told_the_smallest_size():
  with tf.Graph().as_default(), pytest.raises(ValueError, match='lenet .*size is 4 x 4'):
    lenet.lenet(tf.zeros([2, 3, 3, 1]))


def test_images_of_unknown_size_are_told_what_to_do():
  with tf.Graph().as_default(), pytest.raises(ValueError, match='lenet .*set_shape'):
    lenet.lenet(tf.placeholder(tf.float32, [2, 32, None, 1]))
