"""Inception v3 is TF-Slim's, and takes images of other sizes."""
import pytest
from tf_slim.nets import inception as slim_inception

from images.models import inception_utils, inception_v3
from images.utils.tf1 import slim, tf
from tests.models import zoo


def test_it_is_tf_slims():
  def reference(images):
    with slim.arg_scope(slim_inception.inception_v3_arg_scope()):
      return slim_inception.inception_v3(images, 10, is_training=False)

  zoo.check_against(reference, 'inception_v3', size=139, batch=1)


@pytest.mark.parametrize(('size', 'kernel'), [(75, 1), (395, 5)])
def test_the_auxiliary_head_fits_the_image(size, kernel):
  with zoo.graph(), slim.arg_scope(inception_utils.inception_arg_scope()):
    logits, end_points = inception_v3.inception_v3(tf.zeros([2, size, size, 3]), 10)
    assert logits.shape == [2, 10]
    assert end_points['AuxLogits'].shape == [2, 10]
    weights, = (v for v in tf.global_variables() if v.op.name ==
                f'InceptionV3/AuxLogits/Conv2d_2a_{kernel}x{kernel}/weights')
    assert weights.shape == [kernel, kernel, 128, 768]


def test_too_small_images_are_told_the_smallest_size():
  with tf.Graph().as_default(), pytest.raises(ValueError, match='size is 75 x 75'):
    inception_v3.inception_v3(tf.zeros([2, 74, 75, 3]), 10)
