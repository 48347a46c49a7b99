"""Inception v2 (1502.03167): two 3x3 convolutions for each 5x5, and batch norm."""
from images.models import conv_utils, inception_utils, model_utils
from images.models.inception_utils import Layer, Mixed
from images.utils.tf1 import slim, tf

_STEM = (
    Layer('MaxPool_2a_3x3', stride=2),
    Layer('Conv2d_2b_1x1', 64, stddev=0.1),
    Layer('Conv2d_2c_3x3', 192),
    Layer('MaxPool_3a_3x3', stride=2),
)


def _mixed(name, one, three, double, pool, *, pooling='AvgPool_0a_3x3'):
  """Return a block of four branches; arguments are channels, as in the paper's Figure 5."""
  return Mixed(name, (
      (Layer('Conv2d_0a_1x1', one),),
      (Layer('Conv2d_0a_1x1', three[0], stddev=0.09), Layer('Conv2d_0b_3x3', three[1])),
      (Layer('Conv2d_0a_1x1', double[0], stddev=0.09), Layer('Conv2d_0b_3x3', double[1]),
       Layer('Conv2d_0c_3x3', double[1])),
      (Layer(pooling), Layer('Conv2d_0b_1x1', pool, stddev=0.1)),
  ))


def _reduction(name, three, double):
  """Return a block that halves the image; arguments are channels."""
  return Mixed(name, (
      (Layer('Conv2d_0a_1x1', three[0], stddev=0.09),
       Layer('Conv2d_1a_3x3', three[1], stride=2)),
      (Layer('Conv2d_0a_1x1', double[0], stddev=0.09), Layer('Conv2d_0b_3x3', double[1]),
       Layer('Conv2d_1a_3x3', double[1], stride=2)),
      (Layer('MaxPool_1a_3x3', stride=2),),
  ))


_ROWS = (
    *_STEM,
    _mixed('Mixed_3b', 64, (64, 64), (64, 96), 32),
    _mixed('Mixed_3c', 64, (64, 96), (64, 96), 64),
    _reduction('Mixed_4a', (128, 160), (64, 96)),
    _mixed('Mixed_4b', 224, (64, 96), (96, 128), 128),
    _mixed('Mixed_4c', 192, (96, 128), (96, 128), 128),
    _mixed('Mixed_4d', 160, (128, 160), (128, 160), 96),
    _mixed('Mixed_4e', 96, (128, 192), (160, 192), 96),
    _reduction('Mixed_5a', (128, 192), (192, 256)),
    _mixed('Mixed_5b', 352, (192, 320), (160, 224), 128),
    _mixed('Mixed_5c', 352, (192, 320), (192, 224), 128, pooling='MaxPool_0a_3x3'),
)


@model_utils.network(default_image_size=224)
def inception_v2(inputs, num_classes=1000, *, is_training=True, dropout_keep_prob=0.8,
                 spatial_squeeze=True, reuse=None, scope='InceptionV2'):
  """Build Inception v2; arguments and results as in `conv_utils.conv_head`."""
  with tf.variable_scope(scope, 'InceptionV2', [inputs], reuse=reuse), \
      slim.arg_scope([slim.batch_norm], is_training=is_training):
    # sic: unlike all other layers, it has biases, but neither batch norm nor L2 loss.
    net = slim.separable_conv2d(
        inputs, 64, 7, depth_multiplier=8, stride=2, scope='Conv2d_1a_7x7',
        weights_initializer=tf.truncated_normal_initializer(stddev=1.0))
    end_points = {'Conv2d_1a_7x7': net}
    net = inception_utils.layers(net, _ROWS, end_points)
    return conv_utils.conv_head(
        net, num_classes, end_points, pool='AvgPool_1a', pre_logits=True, is_training=is_training,
        dropout_keep_prob=dropout_keep_prob, spatial_squeeze=spatial_squeeze)
