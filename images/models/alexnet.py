"""AlexNet for one device (1404.5997): five convolutions and three wide layers, no LRN."""
import functools

from images.models import conv_utils, wide_utils
from images.utils.tf1 import slim, tf

alexnet_v2_arg_scope = functools.partial(wide_utils.wide_arg_scope, bias=0.1)


def _convolutions(images):
  net = slim.conv2d(images, 64, 11, stride=4, padding='VALID', scope='conv1')
  net = slim.max_pool2d(net, 3, stride=2, scope='pool1')
  net = slim.conv2d(net, 192, 5, scope='conv2')
  net = slim.max_pool2d(net, 3, stride=2, scope='pool2')
  net = conv_utils.conv2d(net, 384, 3, scope='conv3')
  net = conv_utils.conv2d(net, 384, 3, scope='conv4')
  net = conv_utils.conv2d(net, 256, 3, scope='conv5')
  return slim.max_pool2d(net, 3, stride=2, scope='pool5')


# Images of 195 pixels leave the 5x5 positions that fc6 needs.
alexnet_v2 = wide_utils.declare(
    'alexnet_v2', convolutions=_convolutions, fc6=(4096, (5, 5)), smallest_image_size=195,
    weights_initializer=tf.truncated_normal_initializer(stddev=0.005))
