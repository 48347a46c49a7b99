"""ResNet v2: batch norm and rectifier before each convolution (1603.05027)."""
import functools

from images.models import batch_norm_utils, conv_utils, model_utils, resnet_utils
from images.utils.tf1 import slim, tf


@slim.add_arg_scope
def bottleneck(inputs, depth, *, stride, outputs_collections=None):
  """Build one unit that begins with batch norm and rectifier; else as `resnet_v1.bottleneck`.

  An identity shortcut takes the raw input, a projection the activated input;
  neither the projection nor the last convolution is normalized.
  """
  with tf.variable_scope('bottleneck_v2') as scope:
    preact = batch_norm_utils.batch_norm(inputs, activation_fn=model_utils.relu, scope='preact')
    if inputs.shape[-1] == 4 * depth:
      shortcut = resnet_utils.subsample(inputs, stride, 'shortcut')
    else:
      shortcut = conv_utils.conv2d(preact, 4 * depth, 1, stride=stride, normalizer_fn=None,
                                   activation_fn=None, scope='shortcut')
    residual = conv_utils.conv2d(preact, depth, 1, scope='conv1')
    residual = resnet_utils.conv2d_same(residual, depth, 3, stride=stride, scope='conv2')
    residual = conv_utils.conv2d(residual, 4 * depth, 1, normalizer_fn=None, activation_fn=None,
                                 scope='conv3')
    return slim.utils.collect_named_outputs(outputs_collections, scope.name, shortcut + residual)


_declare = functools.partial(
    resnet_utils.declare, bottleneck=bottleneck, preactivation=True)

resnet_v2_50 = _declare('resnet_v2_50', units=(3, 4, 6, 3))
resnet_v2_101 = _declare('resnet_v2_101', units=(3, 4, 23, 3))
resnet_v2_152 = _declare('resnet_v2_152', units=(3, 8, 36, 3))
resnet_v2_200 = _declare('resnet_v2_200', units=(3, 24, 36, 3))
