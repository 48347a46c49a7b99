"""OverFeat is TF-Slim's, and takes images of other sizes."""
import pytest
from tf_slim.nets import overfeat as slim_overfeat

from images.models import overfeat
from images.utils.tf1 import slim, tf
from tests.models import zoo


def test_it_is_tf_slims():
  def reference(images):
    with slim.arg_scope(slim_overfeat.overfeat_arg_scope()):
      return slim_overfeat.overfeat(images, 10, is_training=False)

  zoo.check_against(reference, 'overfeat', size=231, batch=1)


def test_larger_images_are_averaged_over_their_positions():
  with tf.Graph().as_default():
    logits, _ = overfeat.overfeat(tf.zeros([2, 263, 263, 3]), 10)
    assert logits.shape == [2, 10]


def test_too_small_images_are_told_the_smallest_size():
  with tf.Graph().as_default(), pytest.raises(ValueError, match='size is 231 x 231'):
    overfeat.overfeat(tf.zeros([2, 224, 224, 3]))
