"""Inception-ResNet v2 (1602.07261): Inception blocks that learn scaled residuals."""
from images.models import batch_norm_utils, inception_utils, model_utils
from images.models.inception_utils import HALVE, Layer, Mixed, Residual
from images.models.inception_v3 import STEM
from images.utils.tf1 import slim, tf

_BLOCK_35 = (
    (Layer('Conv2d_1x1', 32),),
    (Layer('Conv2d_0a_1x1', 32), Layer('Conv2d_0b_3x3', 32)),
    (Layer('Conv2d_0a_1x1', 32), Layer('Conv2d_0b_3x3', 48), Layer('Conv2d_0c_3x3', 64)),
)
_BLOCK_17 = (
    (Layer('Conv2d_1x1', 192),),
    (Layer('Conv2d_0a_1x1', 128), Layer('Conv2d_0b_1x7', 160), Layer('Conv2d_0c_7x1', 192)),
)
_BLOCK_8 = (
    (Layer('Conv2d_1x1', 192),),
    (Layer('Conv2d_0a_1x1', 192), Layer('Conv2d_0b_1x3', 224), Layer('Conv2d_0c_3x1', 256)),
)

_ROWS = (
    *STEM,
    Mixed('Mixed_5b', (
        (Layer('Conv2d_1x1', 96),),
        (Layer('Conv2d_0a_1x1', 48), Layer('Conv2d_0b_5x5', 64)),
        (Layer('Conv2d_0a_1x1', 64), Layer('Conv2d_0b_3x3', 96), Layer('Conv2d_0c_3x3', 96)),
        (Layer('AvgPool_0a_3x3'), Layer('Conv2d_0b_1x1', 64)),
    )),
    Residual('Repeat/block35', _BLOCK_35, scale=0.17, repeats=10),
    Mixed('Mixed_6a', (
        (Layer('Conv2d_1a_3x3', 384, **HALVE),),
        (Layer('Conv2d_0a_1x1', 256), Layer('Conv2d_0b_3x3', 256),
         Layer('Conv2d_1a_3x3', 384, **HALVE)),
        (Layer('MaxPool_1a_3x3', **HALVE),),
    )),
    Residual('Repeat_1/block17', _BLOCK_17, scale=0.10, repeats=20),
    Mixed('Mixed_7a', (
        (Layer('Conv2d_0a_1x1', 256), Layer('Conv2d_1a_3x3', 384, **HALVE)),
        (Layer('Conv2d_0a_1x1', 256), Layer('Conv2d_1a_3x3', 288, **HALVE)),
        (Layer('Conv2d_0a_1x1', 256), Layer('Conv2d_0b_3x3', 288),
         Layer('Conv2d_1a_3x3', 320, **HALVE)),
        (Layer('MaxPool_1a_3x3', **HALVE),),
    )),
    Residual('Repeat_2/block8', _BLOCK_8, scale=0.20, repeats=9),
    Residual('Block8', _BLOCK_8, scale=1.0, activation=None),
    Layer('Conv2d_7b_1x1', 1536),
)

# Outputs that are not end points (None), or are end points under another name.
_END_POINT_NAMES = {'Repeat/block35': None, 'Repeat_1/block17': 'PreAuxLogits',
                    'Repeat_2/block8': None, 'Block8': None}


def inception_resnet_v2_arg_scope(weight_decay=0.00004):
  """Return the arg scope; `weight_decay` is the L2 factor of weights and biases."""
  regularizer = slim.l2_regularizer(weight_decay)
  with slim.arg_scope(
      [slim.conv2d, slim.fully_connected], weights_regularizer=regularizer,
      biases_regularizer=regularizer), slim.arg_scope(
      [slim.conv2d], normalizer_fn=batch_norm_utils.batch_norm), slim.arg_scope(
      [slim.batch_norm], decay=0.9997, epsilon=0.001) as scope:
    return scope


# Images of 75 pixels leave the 3x3 positions that Mixed_7a needs.
@model_utils.network(default_image_size=299, smallest_image_size=75)
def inception_resnet_v2(inputs, num_classes=1001, *, is_training=True, dropout_keep_prob=0.8,
                        reuse=None, create_aux_logits=True, scope='InceptionResnetV2'):
  """Build Inception-ResNet v2; arguments and results as in `inception_utils.dense_head`."""
  with tf.variable_scope(scope, 'InceptionResnetV2', [inputs], reuse=reuse), \
      slim.arg_scope([slim.batch_norm], is_training=is_training):
    outputs = {}
    net = inception_utils.layers(inputs, _ROWS, outputs)
    end_points = {_END_POINT_NAMES.get(name, name): output for name, output in outputs.items()}
    end_points.pop(None)
    if inception_utils.has_auxiliary_head(inputs, num_classes, create_aux_logits, is_training):
      end_points['AuxLogits'] = inception_utils.dense_auxiliary_logits(
          end_points['PreAuxLogits'], num_classes, pool='Conv2d_1a_3x3',  # sic: it pools 5x5
          conv='Conv2d_2a_5x5', scope='Logits')  # sic: the kernel is as large as the pooled map
    return inception_utils.dense_head(
        net, num_classes, end_points, dropout_keep_prob=dropout_keep_prob,
        is_training=is_training)
