"""The images that InceptionResnetV2 takes, and the heads that it has."""
import pytest

from images.models import inception_resnet_v2
from images.utils.tf1 import slim, tf
from tests.models import zoo


def test_the_smallest_images_have_an_auxiliary_head_too():
  with zoo.graph(), slim.arg_scope(inception_resnet_v2.inception_resnet_v2_arg_scope()):
    logits, end_points = inception_resnet_v2.inception_resnet_v2(tf.zeros([2, 75, 75, 3]), 10)
    assert logits.shape == [2, 10]
    assert end_points['AuxLogits'].shape == [2, 10]


def test_too_small_images_are_told_the_smallest_size():
  with tf.Graph().as_default(), pytest.raises(ValueError, match='size is 75 x 75'):
    inception_resnet_v2.inception_resnet_v2(tf.zeros([2, 75, 74, 3]), 10)
