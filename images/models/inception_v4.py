"""Inception v4 (1602.07261): uniform Inception blocks, deeper and wider."""
from images.models import inception_utils, model_utils
from images.models.inception_utils import HALVE, VALID, Fork, Layer, Mixed
from images.utils.tf1 import slim, tf

_STEM = (
    Layer('Conv2d_1a_3x3', 32, **HALVE),
    Layer('Conv2d_2a_3x3', 32, **VALID),
    Layer('Conv2d_2b_3x3', 64),
    Mixed('Mixed_3a', (
        (Layer('MaxPool_0a_3x3', **HALVE),),
        (Layer('Conv2d_0a_3x3', 96, **HALVE),),
    )),
    Mixed('Mixed_4a', (
        (Layer('Conv2d_0a_1x1', 64), Layer('Conv2d_1a_3x3', 96, **VALID)),
        (Layer('Conv2d_0a_1x1', 64), Layer('Conv2d_0b_1x7', 64), Layer('Conv2d_0c_7x1', 64),
         Layer('Conv2d_1a_3x3', 96, **VALID)),
    )),
    Mixed('Mixed_5a', (
        (Layer('Conv2d_1a_3x3', 192, **HALVE),),
        (Layer('MaxPool_1a_3x3', **HALVE),),
    )),
)

# Branches of the blocks called A, B and C in the paper, and of the reductions between them.
_A = (
    (Layer('Conv2d_0a_1x1', 96),),
    (Layer('Conv2d_0a_1x1', 64), Layer('Conv2d_0b_3x3', 96)),
    (Layer('Conv2d_0a_1x1', 64), Layer('Conv2d_0b_3x3', 96), Layer('Conv2d_0c_3x3', 96)),
    (Layer('AvgPool_0a_3x3'), Layer('Conv2d_0b_1x1', 96)),
)
_REDUCTION_A = (
    (Layer('Conv2d_1a_3x3', 384, **HALVE),),
    (Layer('Conv2d_0a_1x1', 192), Layer('Conv2d_0b_3x3', 224),
     Layer('Conv2d_1a_3x3', 256, **HALVE)),
    (Layer('MaxPool_1a_3x3', **HALVE),),
)
_B = (
    (Layer('Conv2d_0a_1x1', 384),),
    (Layer('Conv2d_0a_1x1', 192), Layer('Conv2d_0b_1x7', 224), Layer('Conv2d_0c_7x1', 256)),
    (Layer('Conv2d_0a_1x1', 192), Layer('Conv2d_0b_7x1', 192), Layer('Conv2d_0c_1x7', 224),
     Layer('Conv2d_0d_7x1', 224), Layer('Conv2d_0e_1x7', 256)),
    (Layer('AvgPool_0a_3x3'), Layer('Conv2d_0b_1x1', 128)),
)
_REDUCTION_B = (
    (Layer('Conv2d_0a_1x1', 192), Layer('Conv2d_1a_3x3', 192, **HALVE)),
    (Layer('Conv2d_0a_1x1', 256), Layer('Conv2d_0b_1x7', 256), Layer('Conv2d_0c_7x1', 320),
     Layer('Conv2d_1a_3x3', 320, **HALVE)),
    (Layer('MaxPool_1a_3x3', **HALVE),),
)
_C = (
    (Layer('Conv2d_0a_1x1', 256),),
    (Layer('Conv2d_0a_1x1', 384),
     Fork((Layer('Conv2d_0b_1x3', 256), Layer('Conv2d_0c_3x1', 256)))),
    (Layer('Conv2d_0a_1x1', 384), Layer('Conv2d_0b_3x1', 448), Layer('Conv2d_0c_1x3', 512),
     Fork((Layer('Conv2d_0d_1x3', 256), Layer('Conv2d_0e_3x1', 256)))),
    (Layer('AvgPool_0a_3x3'), Layer('Conv2d_0b_1x1', 256)),
)

_ROWS = (
    *_STEM,
    *(Mixed(f'Mixed_5{letter}', _A) for letter in 'bcde'),
    Mixed('Mixed_6a', _REDUCTION_A),
    *(Mixed(f'Mixed_6{letter}', _B) for letter in 'bcdefgh'),
    Mixed('Mixed_7a', _REDUCTION_B),
    *(Mixed(f'Mixed_7{letter}', _C) for letter in 'bcd'),
)


# Images of 75 pixels leave the 3x3 positions that Mixed_7a needs.
@model_utils.network(default_image_size=299, smallest_image_size=75)
def inception_v4(inputs, num_classes=1001, *, is_training=True, dropout_keep_prob=0.8,
                 reuse=None, create_aux_logits=True, scope='InceptionV4'):
  """Build Inception v4; arguments and results as in `inception_utils.dense_head`."""
  end_points = {}
  with tf.variable_scope(scope, 'InceptionV4', [inputs], reuse=reuse), \
      slim.arg_scope([slim.batch_norm], is_training=is_training):
    net = inception_utils.layers(inputs, _ROWS, end_points)
    if inception_utils.has_auxiliary_head(inputs, num_classes, create_aux_logits, is_training):
      end_points['AuxLogits'] = inception_utils.dense_auxiliary_logits(
          end_points['Mixed_6h'], num_classes, pool='AvgPool_1a_5x5', conv='Conv2d_2a',
          scope='Aux_logits')  # sic: small letters
    return inception_utils.dense_head(
        net, num_classes, end_points, dropout_keep_prob=dropout_keep_prob,
        is_training=is_training)
