"""VGG is TF-Slim's, and takes larger images."""
import pytest
from tf_slim.nets import vgg as slim_vgg

from images.models import vgg
from images.utils.tf1 import slim, tf
from tests.models import zoo


def reference(name):
  def build(images):
    with slim.arg_scope(slim_vgg.vgg_arg_scope()):
      return getattr(slim_vgg, name)(images, 10, is_training=False)
  return build


def test_it_is_tf_slims():
  zoo.check_against(reference('vgg_a'), 'vgg_a', size=224, batch=1)


@pytest.mark.parametrize('name', ['vgg_16', 'vgg_19'])
def test_deeper_ones_have_tf_slims_variables(name):
  zoo.check_shapes_against(reference(name), name, size=224)


def test_larger_images_are_averaged_over_their_positions():
  with tf.Graph().as_default():
    logits, end_points = vgg.vgg_16(tf.zeros([2, 256, 288, 3]), 10)
    assert logits.shape == [2, 10]
    assert end_points['vgg_16/fc6'].shape == [2, 2, 3, 4096]


def test_too_small_images_are_told_the_smallest_size():
  with tf.Graph().as_default(), pytest.raises(ValueError, match='vgg_a .*size is 224 x 224'):
    vgg.vgg_a(tf.zeros([2, 223, 224, 3]))
