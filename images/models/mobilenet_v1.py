"""MobileNet v1 (1704.04861): depthwise and pointwise convolutions in turns."""
import functools

from images.models import mobilenet_utils, model_utils
from images.utils.tf1 import slim, tf

mobilenet_v1_arg_scope = functools.partial(mobilenet_utils.mobilenet_arg_scope, decay=0.9997)

# (published name, stride of the depthwise and channels of the pointwise convolution)
_LAYERS = (
    ('Conv2d_1', 1, 64),
    ('Conv2d_2', 2, 128),
    ('Conv2d_3', 1, 128),
    ('Conv2d_4', 2, 256),
    ('Conv2d_5', 1, 256),
    ('Conv2d_6', 2, 512),
    ('Conv2d_7', 1, 512),
    ('Conv2d_8', 1, 512),
    ('Conv2d_9', 1, 512),
    ('Conv2d_10', 1, 512),
    ('Conv2d_11', 1, 512),
    ('Conv2d_12', 2, 1024),
    ('Conv2d_13', 1, 1024),
)


def _declare(name, *, multiplier):
  """Return the network function `name`, `multiplier` times as wide as the paper's."""
  @model_utils.network(default_image_size=224)
  def mobilenet_v1(inputs, num_classes=1000, *, is_training=True, dropout_keep_prob=0.999,
                   spatial_squeeze=True, reuse=None, scope='MobilenetV1'):
    with tf.variable_scope(scope, 'MobilenetV1', [inputs], reuse=reuse), \
        slim.arg_scope([slim.batch_norm], is_training=is_training):
      net, end_points = _layers(inputs, multiplier)
      return mobilenet_utils.head(
          net, num_classes, end_points, 'AvgPool_1a', is_training=is_training,
          dropout_keep_prob=dropout_keep_prob, spatial_squeeze=spatial_squeeze)

  return model_utils.named(mobilenet_v1, name, f'{multiplier} times as wide as the paper')


def _layers(inputs, multiplier):
  """Interpret the table; return the net and its end points."""
  net = slim.conv2d(inputs, _width(32, multiplier), 3, stride=2, scope='Conv2d_0')
  end_points = {'Conv2d_0': net}
  for name, stride, channels in _LAYERS:
    net = slim.separable_conv2d(net, None, 3, stride=stride, scope=f'{name}_depthwise')
    end_points[f'{name}_depthwise'] = net
    net = slim.conv2d(net, _width(channels, multiplier), 1, scope=f'{name}_pointwise')
    end_points[f'{name}_pointwise'] = net
  return net, end_points


def _width(channels, multiplier):
  return max(int(channels * multiplier), 8)


mobilenet_v1 = _declare('mobilenet_v1', multiplier=1.0)
mobilenet_v1_075 = _declare('mobilenet_v1_075', multiplier=0.75)
mobilenet_v1_050 = _declare('mobilenet_v1_050', multiplier=0.50)
mobilenet_v1_025 = _declare('mobilenet_v1_025', multiplier=0.25)
