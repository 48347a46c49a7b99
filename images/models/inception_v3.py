"""Inception v3 (1512.00567): factorized convolutions and an auxiliary head."""
from images.models import conv_utils, inception_utils, model_utils
from images.models.inception_utils import HALVE, VALID, Fork, Layer, Mixed
from images.utils.tf1 import slim, tf

STEM = (
    Layer('Conv2d_1a_3x3', 32, **HALVE),
    Layer('Conv2d_2a_3x3', 32, **VALID),
    Layer('Conv2d_2b_3x3', 64),
    Layer('MaxPool_3a_3x3', **HALVE),
    Layer('Conv2d_3b_1x1', 80, **VALID),
    Layer('Conv2d_4a_3x3', 192, **VALID),
    Layer('MaxPool_5a_3x3', **HALVE),
)


def _mixed_5(name, pool, *, five=('Conv2d_0a_1x1', 'Conv2d_0b_5x5')):
  """Return a block of the 35x35 maps; `pool` is the number of channels after its pooling."""
  return Mixed(name, (
      (Layer('Conv2d_0a_1x1', 64),),
      (Layer(five[0], 48), Layer(five[1], 64)),
      (Layer('Conv2d_0a_1x1', 64), Layer('Conv2d_0b_3x3', 96), Layer('Conv2d_0c_3x3', 96)),
      (Layer('AvgPool_0a_3x3'), Layer('Conv2d_0b_1x1', pool)),
  ))


def _mixed_6(name, width):
  """Return a block of the 17x17 maps; `width` is the number of channels inside its branches."""
  return Mixed(name, (
      (Layer('Conv2d_0a_1x1', 192),),
      (Layer('Conv2d_0a_1x1', width), Layer('Conv2d_0b_1x7', width),
       Layer('Conv2d_0c_7x1', 192)),
      (Layer('Conv2d_0a_1x1', width), Layer('Conv2d_0b_7x1', width),
       Layer('Conv2d_0c_1x7', width), Layer('Conv2d_0d_7x1', width),
       Layer('Conv2d_0e_1x7', 192)),
      (Layer('AvgPool_0a_3x3'), Layer('Conv2d_0b_1x1', 192)),
  ))


def _mixed_7(name, *, tall):
  """Return a block of the 8x8 maps; `tall` is the name of a 3x1 convolution."""
  return Mixed(name, (
      (Layer('Conv2d_0a_1x1', 320),),
      (Layer('Conv2d_0a_1x1', 384), Fork((Layer('Conv2d_0b_1x3', 384), Layer(tall, 384)))),
      (Layer('Conv2d_0a_1x1', 448), Layer('Conv2d_0b_3x3', 384),
       Fork((Layer('Conv2d_0c_1x3', 384), Layer('Conv2d_0d_3x1', 384)))),
      (Layer('AvgPool_0a_3x3'), Layer('Conv2d_0b_1x1', 192)),
  ))


_ROWS = (
    *STEM,
    _mixed_5('Mixed_5b', 32),
    _mixed_5('Mixed_5c', 64, five=('Conv2d_0b_1x1', 'Conv_1_0c_5x5')),  # sic
    _mixed_5('Mixed_5d', 64),
    Mixed('Mixed_6a', (
        (Layer('Conv2d_1a_1x1', 384, kernel=(3, 3), **HALVE),),  # sic: not 1x1
        (Layer('Conv2d_0a_1x1', 64), Layer('Conv2d_0b_3x3', 96),
         Layer('Conv2d_1a_1x1', 96, kernel=(3, 3), **HALVE)),  # sic: not 1x1
        (Layer('MaxPool_1a_3x3', **HALVE),),
    )),
    _mixed_6('Mixed_6b', 128),
    _mixed_6('Mixed_6c', 160),
    _mixed_6('Mixed_6d', 160),
    _mixed_6('Mixed_6e', 192),
    Mixed('Mixed_7a', (
        (Layer('Conv2d_0a_1x1', 192), Layer('Conv2d_1a_3x3', 320, **HALVE)),
        (Layer('Conv2d_0a_1x1', 192), Layer('Conv2d_0b_1x7', 192), Layer('Conv2d_0c_7x1', 192),
         Layer('Conv2d_1a_3x3', 192, **HALVE)),
        (Layer('MaxPool_1a_3x3', **HALVE),),
    )),
    _mixed_7('Mixed_7b', tall='Conv2d_0b_3x1'),  # sic: 0b twice
    _mixed_7('Mixed_7c', tall='Conv2d_0c_3x1'),
)


# Images of 75 pixels leave the 3x3 positions that Mixed_7a needs.
@model_utils.network(default_image_size=299, smallest_image_size=75)
def inception_v3(inputs, num_classes=1000, *, is_training=True, dropout_keep_prob=0.8,
                 spatial_squeeze=True, reuse=None, create_aux_logits=True, scope='InceptionV3'):
  """Build Inception v3; arguments and results as in `conv_utils.conv_head`."""
  end_points = {}
  with tf.variable_scope(scope, 'InceptionV3', [inputs], reuse=reuse), \
      slim.arg_scope([slim.batch_norm], is_training=is_training):
    net = inception_utils.layers(inputs, _ROWS, end_points)
    if inception_utils.has_auxiliary_head(inputs, num_classes, create_aux_logits, is_training):
      end_points['AuxLogits'] = _auxiliary_logits(
          end_points['Mixed_6e'], num_classes, spatial_squeeze)
    return conv_utils.conv_head(
        net, num_classes, end_points, pool='AvgPool_1a', pre_logits=True, is_training=is_training,
        dropout_keep_prob=dropout_keep_prob, spatial_squeeze=spatial_squeeze)


def _auxiliary_logits(net, num_classes, spatial_squeeze):
  """Return auxiliary logits [batch, num_classes]."""
  with tf.variable_scope('AuxLogits'):
    net = inception_utils.auxiliary_features(
        net, pool='AvgPool_1a_5x5', conv='Conv2d_2a_{kernel}', largest=5, stddev=0.01)
    net = slim.conv2d(
        net, num_classes, 1, activation_fn=None, normalizer_fn=None,
        weights_initializer=tf.truncated_normal_initializer(stddev=0.001),
        scope='Conv2d_2b_1x1')
    # Images larger than the default leave several positions.
    return tf.squeeze(model_utils.average(net), [1, 2]) if spatial_squeeze else net
