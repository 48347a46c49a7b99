"""The row types of the tables that define MobileNets, their interpreter and arg scope."""
import typing

from images.models import batch_norm_utils, conv_utils, model_utils
from images.utils.tf1 import slim, tf


class Conv(typing.NamedTuple):
  """A convolution, followed by batch norm if `normalized`."""
  scope: str
  channels: int
  kernel: int = 1
  stride: int = 1
  activation: typing.Callable = model_utils.relu6
  normalized: bool = True
  shrinks: bool = True  # whether width multipliers below 1 apply


class Block(typing.NamedTuple):
  """An inverted residual: expand (1x1), depthwise convolution, project (1x1)."""
  scope: str
  channels: int
  stride: int = 1
  expansion: float = 6  # inner channels divided by those of the input
  kernel: int = 3
  activation: typing.Callable = model_utils.relu6
  squeeze_excite: bool = False
  residual: bool = True
  fused: bool = False  # expand and depthwise convolution are one convolution


class Pool(typing.NamedTuple):
  """The average over all positions, whose dimensions are kept."""


def hard_swish(x):
  """Return x times its hard sigmoid (1905.02244, section 5.2)."""
  return x * model_utils.relu6(x + 3) * (1 / 6)


def mobilenet_arg_scope(weight_decay=0.00004, *, decay=0.997):
  """Return the arg scope of MobileNets.

  Args:
    weight_decay: factor of the L2 loss; depthwise weights have none.
    decay: decay of batch norm's moving averages.
  """
  with slim.arg_scope(
      [slim.conv2d, slim.separable_conv2d],
      weights_initializer=tf.truncated_normal_initializer(stddev=0.09),
      activation_fn=model_utils.relu6, normalizer_fn=batch_norm_utils.batch_norm), slim.arg_scope(
      [slim.batch_norm], decay=decay, epsilon=0.001, scale=True), slim.arg_scope(
      [slim.conv2d], weights_regularizer=slim.l2_regularizer(weight_decay)) as scope:
    return scope


def layers(net, rows, multiplier):
  """Build the layers.

  Args:
    net: tensor [batch, height, width, channels].
    rows: tuple of Conv, Block and Pool.
    multiplier: factor of the channels of every layer.

  Returns:
    net: tensor, the output of the last layer.
    end_points: dict of tensors, the outputs of the layers, then the inner outputs of blocks.
  """
  outputs, insides = {}, {}
  for number, row in enumerate(rows, start=1):
    net, inside = _BUILDERS[type(row)](net, row, multiplier)
    outputs[f'layer_{number}'] = net
    insides.update({f'layer_{number}/{key}': value for key, value in inside.items()})
  return net, {**outputs, **insides}


def declare(name, *, scope, rows, multiplier=1.0, interpret=layers, pool='global_pool',
            num_classes=1001, dropout_keep_prob=0.8):
  """Return the network function of one published MobileNet.

  Args:
    name: string, the published name.
    scope: string, the default variable scope.
    rows: tuple of what `interpret` takes; for `layers`, of Conv, Block and Pool.
    multiplier: factor of the channels of every layer.
    interpret: function (images, rows, multiplier) to (net, end points).
    pool: string, the name of the average before the logits among the end points.
    num_classes: integer, the function's default.
    dropout_keep_prob: the function's default.
  """
  default_scope = scope

  @model_utils.network(default_image_size=224)
  def mobilenet(inputs, num_classes=num_classes, *, is_training=True,
                dropout_keep_prob=dropout_keep_prob, spatial_squeeze=True, reuse=None,
                scope=default_scope):
    with tf.variable_scope(scope, default_scope, [inputs], reuse=reuse), \
        slim.arg_scope([slim.batch_norm], is_training=is_training):
      net, end_points = interpret(inputs, rows, multiplier)
      return conv_utils.conv_head(
          net, num_classes, end_points, pool=pool, is_training=is_training,
          dropout_keep_prob=dropout_keep_prob, spatial_squeeze=spatial_squeeze)

  return model_utils.named(mobilenet, name, f'{multiplier} times as wide as the paper')


def make_divisible(channels, divisor=8):
  """Round to the nearest multiple of `divisor`, not 0, halves up, but lose at most a tenth."""
  rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
  return rounded if rounded >= 0.9 * channels else rounded + divisor


def _conv(net, row, multiplier):
  channels = row.channels * (multiplier if row.shrinks else max(multiplier, 1.0))
  normalizer = {} if row.normalized else {'normalizer_fn': None}
  return conv_utils.conv2d(net, make_divisible(channels), row.kernel, stride=row.stride,
                           activation_fn=row.activation, scope=row.scope, **normalizer), {}


def _pool(net, _, __):
  return model_utils.average(net), {}


def _block(net, row, multiplier):
  inputs, inside = net, {}
  inner = make_divisible(int(net.shape[-1]) * row.expansion)
  channels = make_divisible(row.channels * multiplier)
  spatial = {'stride': row.stride, 'activation_fn': row.activation}
  with tf.variable_scope(row.scope):
    if inner > net.shape[-1]:
      expand = {'kernel_size': row.kernel, **spatial} if row.fused else {
          'kernel_size': 1, 'activation_fn': row.activation}
      net = inside['expansion_output'] = conv_utils.conv2d(
          net, inner, scope='expand', **expand)
    if not row.fused:
      net = inside['depthwise_output'] = slim.separable_conv2d(
          net, None, row.kernel, scope='depthwise', **spatial)
    if row.squeeze_excite:
      net = _squeeze_excite(net)
    net = conv_utils.conv2d(net, channels, 1, activation_fn=None, scope='project')
    if row.residual and row.stride == 1 and net.shape[-1] == inputs.shape[-1]:
      net += inputs
    inside['output'] = net
  return net, inside


def _squeeze_excite(net):
  """Weight the channels by a function of their averages (1709.01507)."""
  with tf.variable_scope('squeeze_excite'), slim.arg_scope([slim.conv2d], normalizer_fn=None):
    channels = int(net.shape[-1])
    weights = model_utils.average(net)
    weights = slim.conv2d(weights, make_divisible(channels / 4), 1, activation_fn=tf.nn.relu,
                          scope='Conv')
    weights = slim.conv2d(
        weights, channels, 1, scope='Conv_1',
        activation_fn=lambda x: tf.nn.relu6(x + 3) * 0.16667)  # sic: not a sixth
    return net * weights


_BUILDERS = {Conv: _conv, Block: _block, Pool: _pool}
