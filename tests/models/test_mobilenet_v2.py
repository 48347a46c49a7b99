"""MobileNet v2 takes images of every size."""
from images.models import mobilenet_utils, mobilenet_v2
from images.utils.tf1 import slim, tf
from tests.models import zoo


def test_every_size_works_even_one_pixel_high():
  with zoo.graph(), slim.arg_scope(mobilenet_utils.mobilenet_arg_scope()):
    images = tf.placeholder(tf.float32, [None, 1, 250, 3])
    features, _ = mobilenet_v2.mobilenet_v2_035(images, 0)
    assert features.shape.as_list() == [None, 1, 1, 1280]
