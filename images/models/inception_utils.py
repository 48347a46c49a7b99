"""The row types of the tables that define Inception networks, their interpreter, shared parts."""
import re
import typing

from images.models import batch_norm_utils, conv_utils, model_utils
from images.utils.tf1 import slim, tf


class Layer(typing.NamedTuple):
  """A convolution or pooling; the name says which, and ends with its kernel."""
  name: str
  channels: int = 0  # of a convolution
  stride: int = 1
  padding: str = 'SAME'
  kernel: tuple = ()  # if it is not the one in the name
  stddev: float = 0.0  # of the initial weights; 0 for the initializer of the arg scope


class Fork(typing.NamedTuple):
  """Parallel layers at the end of a branch; their outputs are concatenated."""
  layers: tuple


class Mixed(typing.NamedTuple):
  """Parallel branches, each a tuple of layers; their outputs are concatenated."""
  name: str
  branches: tuple


class Residual(typing.NamedTuple):
  """Branches whose outputs, projected and scaled, are added to the input, `repeats` times."""
  name: str
  branches: tuple
  scale: float
  repeats: int = 0  # 0: once, in a scope without a number
  activation: typing.Callable = tf.nn.relu


VALID = {'padding': 'VALID'}
HALVE = {'stride': 2, 'padding': 'VALID'}


def inception_arg_scope(weight_decay=0.00004):
  """Return the arg scope of Inception v1 to v4; `weight_decay` is the L2 factor."""
  with slim.arg_scope(
      [slim.conv2d, slim.fully_connected],
      weights_regularizer=slim.l2_regularizer(weight_decay)), slim.arg_scope(
      [slim.conv2d], weights_initializer=slim.variance_scaling_initializer(),
      normalizer_fn=batch_norm_utils.batch_norm), slim.arg_scope(
      [slim.batch_norm], decay=0.9997, epsilon=0.001) as scope:
    return scope


def layers(net, rows, end_points):
  """Build the rows in order, add their outputs to `end_points`, and return the last output."""
  for row in rows:
    net = end_points[row.name] = _BUILDERS[type(row)](net, row)
  return net


def dense_head(net, num_classes, end_points, *, dropout_keep_prob, is_training):
  """Average, apply dropout, predict with a dense layer; otherwise as `conv_utils.conv_head`."""
  with tf.variable_scope('Logits'):
    net = end_points['global_pool'] = model_utils.average(net, 'global_pool')
    if not num_classes:
      return net, end_points
    net = model_utils.dropout(net, dropout_keep_prob, is_training=is_training, scope='Dropout_1b')
    net = end_points['PreLogitsFlatten'] = slim.flatten(net, scope='PreLogitsFlatten')
    net = end_points['Logits'] = slim.fully_connected(
        net, num_classes, activation_fn=None, scope='Logits')
  end_points['Predictions'] = slim.softmax(net, scope='Predictions')
  return net, end_points


def has_auxiliary_head(inputs, num_classes, create_aux_logits, is_training):
  """Return whether to build the auxiliary head of a network.

  The head's weights depend on the image size. If that is unknown, evaluation omits the
  head, and in training `auxiliary_features` raises an error.
  """
  known = inputs.shape[1:3].is_fully_defined()
  return bool(create_aux_logits and num_classes and (is_training or known))


def auxiliary_features(net, *, pool, conv, largest=None, stddev=0.0):
  """Return the features that an auxiliary head predicts from, [batch, height, width, 768].

  Args:
    net: tensor [batch, height, width, channels].
    pool: string, scope of the pooling, whose window is 5x5, or the whole map if smaller.
    conv: string, scope of the convolution over the pooled map; '{kernel}' becomes
      its kernel.
    largest: integer, the convolution's largest kernel, or None for the whole map.
    stddev: of the initial weights of this convolution, or 0 for the arg scope's.

  Raises:
    ValueError: the height or width of `net` is unknown.
  """
  window = [min(5, size) for size in model_utils.known_size(net, 'the auxiliary head')]
  net = slim.avg_pool2d(net, window, stride=3, padding='VALID', scope=pool)
  net = slim.conv2d(net, 128, 1, scope='Conv2d_1b_1x1')
  height, width = (min(largest or size, size) for size in net.shape.as_list()[1:3])
  scope = conv.format(kernel=f'{height}x{width}')
  return _layer(net, Layer(scope, 768, kernel=(height, width), stddev=stddev, **VALID))


def dense_auxiliary_logits(net, num_classes, *, pool, conv, scope):
  """Return auxiliary logits [batch, num_classes] of a dense layer called `scope`."""
  with tf.variable_scope('AuxLogits'):
    net = auxiliary_features(net, pool=pool, conv=conv)
    return slim.fully_connected(slim.flatten(net), num_classes, activation_fn=None, scope=scope)


def _layer(net, row):
  arguments = {'kernel_size': row.kernel or _kernel(row.name), 'stride': row.stride,
               'padding': row.padding, 'scope': row.name}
  if row.name.startswith('MaxPool'):
    return slim.max_pool2d(net, **arguments)
  if row.name.startswith('AvgPool'):
    return slim.avg_pool2d(net, **arguments)
  if row.stddev:
    arguments['weights_initializer'] = tf.truncated_normal_initializer(stddev=row.stddev)
  return conv_utils.conv2d(net, row.channels, **arguments)


def _kernel(name):
  """Return the kernel that a name ends with, such as (1, 7) for 'Conv2d_0b_1x7'."""
  return tuple(int(size) for size in re.search(r'_(\d+)x(\d+)$', name).groups())


def _fork(net, row):
  return tf.concat([_layer(net, layer) for layer in row.layers], 3)


def _branches(net, branches):
  """Return the concatenated outputs of all branches."""
  outputs = []
  for number, rows in enumerate(branches):
    with tf.variable_scope(f'Branch_{number}'):
      output = net
      for row in rows:
        output = _BUILDERS[type(row)](output, row)
      outputs.append(output)
  return tf.concat(outputs, 3)


def _mixed(net, row):
  with tf.variable_scope(row.name):
    return _branches(net, row.branches)


def _residual(net, row):
  numbers = range(1, row.repeats + 1)
  for name in [f'{row.name}_{number}' for number in numbers] or [row.name]:
    with tf.variable_scope(name):
      up = conv_utils.conv2d(_branches(net, row.branches), int(net.shape[-1]), 1,
                             normalizer_fn=None, activation_fn=None, scope='Conv2d_1x1')
      net += row.scale * up
      if row.activation:
        net = row.activation(net)
  return net


_BUILDERS = {Layer: _layer, Fork: _fork, Mixed: _mixed, Residual: _residual}
