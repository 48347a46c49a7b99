"""ResNet v1: batch norm after each convolution, rectifier after each sum (1512.03385)."""
import functools

from images.models import conv_utils, model_utils, resnet_utils
from images.utils.tf1 import slim, tf


@slim.add_arg_scope
def bottleneck(inputs, depth, *, stride, outputs_collections=None):
  """Build one unit: 1x1, 3x3 and 1x1 convolutions next to a shortcut.

  The 3x3 convolution has the stride; in the paper the first convolution has it.

  Args:
    inputs: tensor [batch, height, width, channels].
    depth: integer, channels of the bottleneck; the output has four times as many.
    stride: integer, stride of the unit.
    outputs_collections: collection that the end point is added to.

  Returns:
    Tensor [batch, height / stride, width / stride, 4 * depth].
  """
  with tf.variable_scope('bottleneck_v1') as scope:
    if inputs.shape[-1] == 4 * depth:
      shortcut = resnet_utils.subsample(inputs, stride, 'shortcut')
    else:
      shortcut = conv_utils.conv2d(inputs, 4 * depth, 1, stride=stride, activation_fn=None,
                                   scope='shortcut')
    residual = conv_utils.conv2d(inputs, depth, 1, scope='conv1')
    residual = resnet_utils.conv2d_same(residual, depth, 3, stride=stride, scope='conv2')
    residual = conv_utils.conv2d(residual, 4 * depth, 1, activation_fn=None, scope='conv3')
    output = model_utils.relu(shortcut + residual)
    return slim.utils.collect_named_outputs(outputs_collections, scope.name, output)


_declare = functools.partial(
    resnet_utils.declare, bottleneck=bottleneck, preactivation=False)

resnet_v1_50 = _declare('resnet_v1_50', units=(3, 4, 6, 3))
resnet_v1_101 = _declare('resnet_v1_101', units=(3, 4, 23, 3))
resnet_v1_152 = _declare('resnet_v1_152', units=(3, 8, 36, 3))
resnet_v1_200 = _declare('resnet_v1_200', units=(3, 24, 36, 3))
