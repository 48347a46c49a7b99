"""Inception v1, or GoogLeNet (1409.4842), with batch norm and without auxiliary heads."""
from images.models import conv_utils, inception_utils, model_utils
from images.models.inception_utils import Layer, Mixed
from images.utils.tf1 import slim, tf


def _mixed(name, one, three, five, pool, *, last='Conv2d_0b_3x3'):
  """Return a block of four branches; arguments are channels, as in the paper's Table 1."""
  return Mixed(name, (
      (Layer('Conv2d_0a_1x1', one),),
      (Layer('Conv2d_0a_1x1', three[0]), Layer('Conv2d_0b_3x3', three[1])),
      (Layer('Conv2d_0a_1x1', five[0]), Layer(last, five[1])),  # sic: 3x3, the paper has 5x5
      (Layer('MaxPool_0a_3x3'), Layer('Conv2d_0b_1x1', pool)),
  ))


_ROWS = (
    Layer('Conv2d_1a_7x7', 64, stride=2),
    Layer('MaxPool_2a_3x3', stride=2),
    Layer('Conv2d_2b_1x1', 64),
    Layer('Conv2d_2c_3x3', 192),
    Layer('MaxPool_3a_3x3', stride=2),
    _mixed('Mixed_3b', 64, (96, 128), (16, 32), 32),
    _mixed('Mixed_3c', 128, (128, 192), (32, 96), 64),
    Layer('MaxPool_4a_3x3', stride=2),
    _mixed('Mixed_4b', 192, (96, 208), (16, 48), 64),
    _mixed('Mixed_4c', 160, (112, 224), (24, 64), 64),
    _mixed('Mixed_4d', 128, (128, 256), (24, 64), 64),
    _mixed('Mixed_4e', 112, (144, 288), (32, 64), 64),
    _mixed('Mixed_4f', 256, (160, 320), (32, 128), 128),
    Layer('MaxPool_5a_2x2', stride=2),
    _mixed('Mixed_5b', 256, (160, 320), (32, 128), 128, last='Conv2d_0a_3x3'),  # sic
    _mixed('Mixed_5c', 384, (192, 384), (48, 128), 128),
)


@model_utils.network(default_image_size=224)
def inception_v1(inputs, num_classes=1000, *, is_training=True, dropout_keep_prob=0.8,
                 spatial_squeeze=True, reuse=None, scope='InceptionV1'):
  """Build Inception v1; arguments and results as in `conv_utils.conv_head`."""
  end_points = {}
  with tf.variable_scope(scope, 'InceptionV1', [inputs], reuse=reuse), \
      slim.arg_scope([slim.batch_norm], is_training=is_training):
    with slim.arg_scope(
        [slim.conv2d], weights_initializer=tf.truncated_normal_initializer(stddev=0.01)):
      net = inception_utils.layers(inputs, _ROWS, end_points)
    return conv_utils.conv_head(
        net, num_classes, end_points, pool='AvgPool_0a_7x7', scope='Conv2d_0c_1x1',
        is_training=is_training, dropout_keep_prob=dropout_keep_prob,
        spatial_squeeze=spatial_squeeze)
