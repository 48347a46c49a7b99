"""AlexNet is TF-Slim's, and takes images of other sizes."""
import pytest
from tf_slim.nets import alexnet as slim_alexnet

from images.models import alexnet
from images.utils.tf1 import slim, tf
from tests.models import zoo


def test_it_is_tf_slims():
  def reference(images):
    with slim.arg_scope(slim_alexnet.alexnet_v2_arg_scope()):
      return slim_alexnet.alexnet_v2(images, 10, is_training=False)

  zoo.check_against(reference, 'alexnet_v2', size=195, batch=1)


def test_larger_images_are_averaged_over_their_positions():
  with tf.Graph().as_default():
    logits, end_points = alexnet.alexnet_v2(tf.zeros([2, 320, 256, 3]), 10)
    assert logits.shape == [2, 10]
    assert end_points['global_pool'].shape == [2, 1, 1, 4096]


def test_without_squeeze_every_position_is_classified():
  with tf.Graph().as_default():
    logits, _ = alexnet.alexnet_v2(tf.zeros([2, 320, 320, 3]), 10, spatial_squeeze=False)
    assert logits.shape == [2, 4, 4, 10]


def test_too_small_images_are_told_the_smallest_size():
  with tf.Graph().as_default(), pytest.raises(ValueError, match='size is 195 x 195'):
    alexnet.alexnet_v2(tf.zeros([2, 194, 195, 3]))
