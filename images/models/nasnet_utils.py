"""Networks found by architecture search: their cells, and how these are stacked."""
import functools
import typing

from images.models import batch_norm_utils, model_utils
from images.utils.tf1 import slim, tf


class Cell(typing.NamedTuple):
  """Five sums of two operations, each applied to a state; every sum becomes a state itself.

  States 0 and 1 are the outputs of the previous cell and of the one before it.
  """
  sums: tuple  # of ((operation, state), (operation, state))
  outputs: tuple  # states that are concatenated


class Plan(typing.NamedTuple):
  """A network: its cells, their number and widths, its stem, dropout and drop path."""
  normal: Cell
  reduction: typing.Optional[Cell]  # None: normal cells reduce, with a stride
  cells: int  # normal cells; a third of them at each resolution
  filters: int  # of the first normal cell; they double with each reduction
  stem_filters: int
  imagenet_stem: bool = True  # two reducing cells come first
  skip_reduction: bool = False  # the cell after a reduction cell has reach 3, see _cells()
  dropout_keep_prob: float = 0.5
  drop_path_keep_prob: float = 1.0
  drop_path_steps: int = 250000


def nasnet_arg_scope(weight_decay, *, decay=0.9997, epsilon=0.001):
  """Return an arg scope in which layers have no activation, and convolutions no biases.

  Args:
    weight_decay: factor of the L2 loss of all weights.
    decay: decay of batch norm's moving averages.
    epsilon: added to batch norm's variances.
  """
  with slim.arg_scope(
      [slim.conv2d, slim.fully_connected, slim.separable_conv2d],
      weights_regularizer=slim.l2_regularizer(weight_decay),
      weights_initializer=slim.variance_scaling_initializer(mode='FAN_OUT'),
      activation_fn=None), slim.arg_scope(
      [slim.conv2d, slim.separable_conv2d], biases_initializer=None), slim.arg_scope(
      [slim.batch_norm], decay=decay, epsilon=epsilon, scale=True) as scope:
    return scope


def declare(name, plan, *, default_image_size):
  """Return the network function of one published network.

  Args:
    name: string, the published name.
    plan: Plan of the network.
    default_image_size: integer, height and width of the images in pixels.
  """
  # The first convolution of the ImageNet stem is 3x3, without padding.
  @model_utils.network(default_image_size=default_image_size,
                       smallest_image_size=3 if plan.imagenet_stem else 1)
  def nasnet(inputs, num_classes=1001, *, is_training=True,
             dropout_keep_prob=plan.dropout_keep_prob,
             drop_path_keep_prob=plan.drop_path_keep_prob):
    path_keep_prob = drop_path_schedule(plan, drop_path_keep_prob if is_training else 1.0)
    aux_classes = num_classes if is_training else None
    end_points = {}
    with slim.arg_scope([slim.batch_norm], is_training=is_training):
      net = _stack(_stem(inputs, plan), plan, path_keep_prob, aux_classes, end_points)
      return _head(net, num_classes, end_points, is_training, dropout_keep_prob)

  return model_utils.named(nasnet, name, f'{plan.cells} cells of {plan.filters} filters and more')


def drop_path_schedule(plan, keep_prob):
  """Return a function from the number of a cell to the probability of keeping a path.

  The probability falls with the cell's depth, and with the global step until
  `plan.drop_path_steps`. It is None if nothing is dropped.
  """
  if keep_prob >= 1.0:
    return lambda number: None
  # Here, because a global step created in the scope of a cell would get the cell's name.
  step = tf.cast(tf.train.get_or_create_global_step(), tf.float32)
  progress = tf.minimum(1.0, step / plan.drop_path_steps)
  count = plan.cells + (2 if plan.reduction else 0) + (2 if plan.imagenet_stem else 0)
  return lambda number: 1.0 - progress * ((number + 1) / count * (1.0 - keep_prob))


def build_cell(net, previous, cell, *, scope, filters, stride=1, halve_previous=False,
               keep_prob=None):
  """Build one cell.

  Args:
    net: output of the previous cell, [batch, height, width, channels].
    previous: output of an earlier cell, or None to use `net` for both states.
    cell: Cell.
    scope: string, the variable scope.
    filters: integer, channels of each state that the cell makes.
    stride: integer, stride of the operations on states 0 and 1.
    halve_previous: whether `previous` is twice as high and wide as `net`; an argument,
      because the shapes may be unknown.
    keep_prob: scalar tensor, the probability of keeping a path, or None to keep all.

  Returns:
    Tensor [batch, height / stride, width / stride, filters * len(cell.outputs)].
  """
  with tf.variable_scope(scope):
    previous = net if previous is None else _fit_previous(previous, filters, halve_previous)
    states = [_conv(tf.nn.relu(net), filters, '1x1', 'beginning_bn'), previous]
    for number, (left, right) in enumerate(cell.sums):
      with tf.variable_scope(f'comb_iter_{number}'):
        states.append(_branch('left', states, left, filters, stride, keep_prob)
                      + _branch('right', states, right, filters, stride, keep_prob))
    return _concatenate(states, cell.outputs, filters)


def _branch(side, states, operation_and_state, filters, stride, keep_prob):
  """Apply one operation to one state; drop the result in some examples."""
  operation, state = operation_and_state
  with tf.variable_scope(side):
    net = _operate(states[state], operation, filters, stride if state < 2 else 1)
    return net if keep_prob is None or operation == 'none' else _drop_path(net, keep_prob)


def _operate(net, operation, filters, stride):
  """Apply an operation such as 'separable_5x5', 'max_pool_3x3' or 'none'."""
  kind, _, kernel = operation.rpartition('_')
  if kind == 'separable':
    for layer in (1, 2):
      net = slim.separable_conv2d(
          tf.nn.relu(net), filters, int(kernel[0]), depth_multiplier=1, stride=stride,
          scope=f'{operation}_{layer}')
      net = batch_norm_utils.batch_norm(net, scope=f'bn_sep_{kernel}_{layer}')
      stride = 1
    return net
  if kind:
    pool = {'avg_pool': slim.avg_pool2d, 'max_pool': slim.max_pool2d}[kind]
    net = pool(net, int(kernel[0]), stride=stride, padding='SAME')
    return net if net.shape[-1] == filters else _conv(net, filters, '1x1', 'bn_1')
  if stride > 1 or net.shape[-1] != filters:
    net = _conv(tf.nn.relu(net), filters, '1x1', 'bn_1', stride=stride)
  return net


def _conv(net, filters, scope, norm_scope, *, kernel=1, **kwargs):
  """Convolve in `scope`, then apply batch norm in `norm_scope`."""
  net = slim.conv2d(net, filters, kernel, scope=scope, **kwargs)
  return batch_norm_utils.batch_norm(net, scope=norm_scope)


def _drop_path(net, keep_prob):
  """Set the net to zero in some examples, and scale it up in the others."""
  return model_utils.keep_randomly(net, keep_prob, [tf.shape(net)[0], 1, 1, 1])


def _fit_previous(previous, filters, halve):
  """Give `previous`, the output of an earlier cell, the size and channels of the states."""
  if halve:
    return _halve(tf.nn.relu(previous), filters)
  if previous.shape[-1] != filters:
    previous = _conv(tf.nn.relu(previous), filters, 'prev_1x1', 'prev_bn')
  return previous


def _halve(net, filters):
  """Halve height and width: half of the channels sample even and half odd positions."""
  subsample = functools.partial(slim.avg_pool2d, kernel_size=1, stride=2, padding='VALID')
  even = slim.conv2d(subsample(net), filters // 2, 1, scope='path1_conv')
  # Not [:, 1:, 1:], whose gradient takes several times as long as that of tf.slice().
  shifted = tf.slice(tf.pad(net, [[0, 0], [0, 1], [0, 1], [0, 0]]), [0, 1, 1, 0], [-1] * 4)
  odd = slim.conv2d(subsample(shifted), filters - filters // 2, 1, scope='path2_conv')
  return batch_norm_utils.batch_norm(tf.concat([even, odd], 3), scope='final_path_bn')


def _concatenate(states, outputs, filters):
  """Concatenate states; one with other channels, the first cell's input, is projected first."""
  nets = []
  with tf.variable_scope('cell_output'):
    for state in outputs:
      net = states[state]
      if net.shape[-1] != filters:
        with tf.variable_scope(f'reduction_{state}'):
          net = _conv(net, filters, 'path_conv', 'path_bn')
      nets.append(net)
  return tf.concat(nets, 3)


def _stem(inputs, plan):
  """Return the input of the first cell."""
  if plan.imagenet_stem:
    return _conv(inputs, plan.stem_filters, 'conv0', 'conv0_bn', kernel=3, stride=2,
                 padding='VALID')
  return _conv(inputs, plan.stem_filters, 'l1_stem_3x3', 'l1_stem_bn', kernel=3)


def _cells(plan):
  """Return a row (scope, cell, factor of the filters, stride, reach) for each cell.

  The second input of a cell is the output that lies `reach` outputs back.
  """
  reductions = [plan.cells // 3, plan.cells * 2 // 3]
  reducing = plan.reduction or plan.normal
  rows = []
  if plan.imagenet_stem:
    rows = [('cell_stem_0', reducing, 0.25, 2, 2), ('cell_stem_1', reducing, 0.5, 2, 2)]
  for index in range(plan.cells):
    factor = 2**sum(index >= reduction for reduction in reductions)
    stride, reach = 1, 2
    if index in reductions and plan.reduction:
      name = f'reduction_cell_{reductions.index(index)}'
      rows.append((name, plan.reduction, factor, 2, 2))
      reach = 3 if plan.skip_reduction else 2
    elif index in reductions:
      stride = 2
    rows.append((f'cell_{index}', plan.normal, factor, stride, reach))
  return rows


def _stack(net, plan, path_keep_prob, aux_classes, end_points):
  """Stack the cells, with the auxiliary head before the second reduction."""
  outputs, halved = [None, net], False
  end_points['Stem'] = net
  aux_index = plan.cells * 2 // 3 - 1
  for number, (scope, cell, factor, stride, reach) in enumerate(_cells(plan)):
    net = build_cell(net, outputs[-reach], cell, scope=scope, filters=int(plan.filters * factor),
                     stride=stride, halve_previous=halved, keep_prob=path_keep_prob(number))
    outputs.append(net)
    halved = stride == 2
    end_points['Stem' if scope.startswith('cell_stem') else scope.title()] = net
    if scope == f'cell_{aux_index}' and aux_classes:
      end_points['AuxLogits'] = _auxiliary_logits(net, aux_classes, f'aux_{aux_index}')
  return net


def _auxiliary_logits(net, num_classes, scope):
  """Return logits [batch, num_classes] of the auxiliary head."""
  with tf.variable_scope(scope), tf.variable_scope('aux_logits'):
    window = [min(5, size) for size in model_utils.known_size(net, 'the auxiliary head')]
    net = slim.avg_pool2d(tf.nn.relu(net), window, stride=3, padding='VALID')
    net = tf.nn.relu(_conv(net, 128, 'proj', 'aux_bn0'))
    net = tf.nn.relu(_conv(net, 768, 'Conv', 'aux_bn1', kernel=net.shape.as_list()[1:3],
                           padding='VALID'))
    return slim.fully_connected(slim.flatten(net), num_classes, scope='FC')


def _head(net, num_classes, end_points, is_training, dropout_keep_prob):
  """Average and predict; return (logits or features, end points)."""
  with tf.variable_scope('final_layer'):
    net = end_points['global_pool'] = tf.squeeze(
        model_utils.average(tf.nn.relu(net)), [1, 2])
    if not num_classes:
      return net, end_points
    net = model_utils.dropout(net, dropout_keep_prob, is_training=is_training)
    net = end_points['Logits'] = slim.fully_connected(net, num_classes, scope='FC')
    end_points['Predictions'] = slim.softmax(net, scope='predictions')
  return net, end_points
