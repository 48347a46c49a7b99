"""Inception v1 is TF-Slim's, and takes images of other sizes."""
from tf_slim.nets import inception as slim_inception

from images.models import inception_utils, inception_v1
from images.utils.tf1 import slim, tf
from tests.models import zoo


def test_it_is_tf_slims():
  def reference(images):
    with slim.arg_scope(slim_inception.inception_v1_arg_scope()):
      return slim_inception.inception_v1(images, 10, is_training=False)

  zoo.check_against(reference, 'inception_v1', size=224, batch=1)


def test_every_size_works_even_one_pixel():
  with zoo.graph(), slim.arg_scope(inception_utils.inception_arg_scope()):
    logits, _ = inception_v1.inception_v1(tf.zeros([2, 1, 1, 3]), 10)
    assert logits.shape == [2, 10]


def test_larger_images_are_averaged_over_all_positions():
  with zoo.graph(), slim.arg_scope(inception_utils.inception_arg_scope()):
    features, end_points = inception_v1.inception_v1(tf.zeros([2, 320, 256, 3]), 0)
    assert end_points['Mixed_5c'].shape == [2, 10, 8, 1024]
    assert features.shape == [2, 1, 1, 1024]
