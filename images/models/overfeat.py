"""OverFeat (1312.6229), the accurate model: five convolutions and three wide layers."""
from images.models import conv_utils, wide_utils
from images.utils.tf1 import slim, tf

overfeat_arg_scope = wide_utils.wide_arg_scope


def _convolutions(images):
  net = slim.conv2d(images, 64, 11, stride=4, padding='VALID', scope='conv1')
  net = slim.max_pool2d(net, 2, scope='pool1')
  net = slim.conv2d(net, 256, 5, padding='VALID', scope='conv2')
  net = slim.max_pool2d(net, 2, scope='pool2')
  net = conv_utils.conv2d(net, 512, 3, scope='conv3')
  net = conv_utils.conv2d(net, 1024, 3, scope='conv4')
  net = conv_utils.conv2d(net, 1024, 3, scope='conv5')
  return slim.max_pool2d(net, 2, scope='pool5')


# Images of 231 pixels leave the 6x6 positions that fc6 needs.
overfeat = wide_utils.declare(
    'overfeat', convolutions=_convolutions, fc6=(3072, (6, 6)), smallest_image_size=231,
    default_image_size=231, biases_initializer=tf.constant_initializer(0.1),
    weights_initializer=tf.truncated_normal_initializer(stddev=0.005))
