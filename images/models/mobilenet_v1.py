"""MobileNet v1 (1704.04861): alternating depthwise and pointwise convolutions."""
import functools

from images.models import conv_utils, mobilenet_utils
from images.utils.tf1 import slim

mobilenet_v1_arg_scope = functools.partial(mobilenet_utils.mobilenet_arg_scope, decay=0.9997)

# Table 1 of the paper: (stride of the depthwise, channels of the pointwise convolution).
_ROWS = (
    (1, 64),
    (2, 128), (1, 128),
    (2, 256), (1, 256),
    (2, 512), (1, 512), (1, 512), (1, 512), (1, 512), (1, 512),
    (2, 1024), (1, 1024),
)


def _interpret(images, rows, multiplier):
  """Build the layers of the table; return the last output and the end points."""
  net = slim.conv2d(images, _width(32, multiplier), 3, stride=2, scope='Conv2d_0')
  end_points = {'Conv2d_0': net}
  for number, (stride, channels) in enumerate(rows, start=1):
    depthwise, pointwise = f'Conv2d_{number}_depthwise', f'Conv2d_{number}_pointwise'
    net = end_points[depthwise] = slim.separable_conv2d(
        net, None, 3, stride=stride, scope=depthwise)
    net = end_points[pointwise] = conv_utils.conv2d(
        net, _width(channels, multiplier), 1, scope=pointwise)
  return net, end_points


def _width(channels, multiplier):
  return max(int(channels * multiplier), 8)


_declare = functools.partial(
    mobilenet_utils.declare, scope='MobilenetV1', rows=_ROWS, interpret=_interpret,
    pool='AvgPool_1a', num_classes=1000, dropout_keep_prob=0.999)

mobilenet_v1 = _declare('mobilenet_v1')
mobilenet_v1_075 = _declare('mobilenet_v1_075', multiplier=0.75)
mobilenet_v1_050 = _declare('mobilenet_v1_050', multiplier=0.50)
mobilenet_v1_025 = _declare('mobilenet_v1_025', multiplier=0.25)
