"""PAISoar's interface to data-parallel training, with Horovod inside.

A step on N ranks: gradients of the scaled loss, mean over the ranks, check that all are finite,
division by the scale, clipping by the global norm, update. The check is made on the norms of the
averaged gradients and of batch norm's averaged statistics, which are the same on all ranks, so
that these always agree; in float32 the norms overflow at 2e19. A step that fails the check changes
only the loss scale. With several micro-batches per step, all of this happens once, on their mean.
"""
from images.utils import accumulation_utils, cluster_utils
from images.utils.loss_scale import FixedLossScale, get_loss_scale
from images.utils.tf1 import tf


class ReplicatedVarsOptimizer:
  """Trains one replica of the variables per rank, kept equal by equal updates.

  Attributes:
    loss_scale: what images.utils.loss_scale.get_loss_scale() returned.
    finite: scalar bool tensor, whether the step passed the check; set by minimize().
    complete: scalar bool tensor, whether this run of the training operation completed a step, as
      the last of several micro-batches does; set by minimize().
  """

  def __init__(self, optimizer, clip_norm=None, *, accumulate_steps=1,
               gradient_compression='none', moving_average_decay=None):
    """Wrap `optimizer`, a tf.train.Optimizer.

    Args:
      optimizer: the optimizer that applies the gradients.
      clip_norm: float, the largest global norm of the mean gradient, or None.
      accumulate_steps: integer, micro-batches, each a run of the training operation, whose
        mean gradient makes a step.
      gradient_compression: 'none', or 'fp16' to exchange gradients in float16.
      moving_average_decay: float, the decay of an exponential moving average of each float variable
        of the model, trained or not, which checkpoints hold next to the variable; None keeps no
        averages. The decay is at most (1 + n) / (10 + n) in step n.
    """
    self._optimizer = optimizer
    self._clip_norm = clip_norm
    self._accumulate_steps = accumulate_steps
    self._compression = gradient_compression
    self._average_decay = moving_average_decay
    self.loss_scale = FixedLossScale(1.0)
    self.finite = self.complete = None

  def compute_loss(self, loss_fn, loss_scale=1.0):
    """Build the loss of this rank's batch.

    Args:
      loss_fn: function without arguments that returns the loss, a scalar.
      loss_scale: float, the factor of the loss while gradients are computed; 0 adapts
        it while training.

    Returns:
      The loss, a scalar float32 tensor, not scaled.

    Raises:
      ValueError: the loss is not a scalar.
    """
    self.loss_scale = get_loss_scale(loss_scale)
    loss = tf.cast(loss_fn(), tf.float32)
    if loss.shape.rank:
      raise ValueError(f'loss_fn returns a loss of shape {loss.shape}, but has to return a scalar, '
                       'such as the mean by tf.reduce_mean()')
    return loss

  def minimize(self, loss, global_step=None, var_list=None):
    """Return the training operation.

    Args:
      loss: what compute_loss() returned.
      global_step: integer variable that counts the updates, or None.
      var_list: the variables to train, by default all trainable ones.

    Raises:
      ValueError: the loss depends on none of the variables, or UPDATE_OPS holds an update other
        than by assign_sub.
    """
    gradients, variables = self._compute_gradients(loss, var_list)
    averages, differences = _moving_averages()

    def update(means):
      return self._update(means[:len(gradients)], variables, means[len(gradients):], averages,
                          global_step)

    self.finite, self.complete = accumulation_utils.every(
        self._accumulate_steps, gradients + differences, update)
    return self.finite.op

  def _compute_gradients(self, loss, var_list):
    """Return the gradients of the scaled loss and their variables, two lists."""
    # The backward pass starts from the scale. As the scale waits for the loss, all variables that
    # the loss depends on are read before the update.
    with tf.control_dependencies([loss]):
      scale = tf.identity(self.loss_scale.value)
    # No gates: the update needs the norm of all gradients and so waits for them anyway; gates
    # would add a tenth to the graph of a large network.
    pairs = self._optimizer.compute_gradients(
        loss, var_list, gate_gradients=tf.train.Optimizer.GATE_NONE, grad_loss=scale)
    pairs = [(tf.convert_to_tensor(gradient), variable) for gradient, variable in pairs
             if gradient is not None]
    if not pairs:
      raise ValueError('the loss depends on none of the trained variables: '
                       f'{[v.op.name for v in var_list or tf.trainable_variables()]}')
    gradients, variables = zip(*pairs)
    return list(gradients), list(variables)

  def _update(self, gradients, variables, differences, averages, global_step):
    """Make a step from this rank's gradients, of the scaled loss; return the verdict."""
    gradients = [cluster_utils.mean(gradient, variable.op.name, self._compression)
                 for gradient, variable in zip(gradients, variables)]
    differences = cluster_utils.mean_of_all(differences, 'moving_averages')
    norm = tf.global_norm(gradients)
    finite = tf.is_finite(norm + _norm_of_vectors(differences))
    gradients = self._unscale_and_clip(gradients, norm)

    def apply():
      moves = [tf.raw_ops.AssignSubVariableOp(resource=average, value=difference)
               for average, difference in zip(averages, differences)]
      moved = tf.group(self._optimizer.apply_gradients(zip(gradients, variables), global_step),
                       *moves)
      return self._follow(moved, variables, global_step)

    with tf.control_dependencies([_only_if(finite, apply)]):
      adapted = self.loss_scale.update(finite)
    with tf.control_dependencies([adapted]):
      return tf.identity(finite)

  def _follow(self, moved, variables, global_step):
    """Return the update of the averages, after that of the variables; `moved` if there are none."""
    if self._average_decay is None:
      return moved
    average = tf.train.ExponentialMovingAverage(self._average_decay, num_updates=global_step)
    followed = [v for v in tf.model_variables() + variables if v.dtype.is_floating]
    with tf.control_dependencies([moved]):
      return average.apply(list(dict.fromkeys(followed)))

  def _unscale_and_clip(self, gradients, norm):
    """Return the gradients of the loss itself, of a global norm of at most clip_norm.

    Args:
      gradients: list of float tensors, of the scaled loss.
      norm: scalar float tensor, their global norm.
    """
    factor = 1.0 / self.loss_scale.value
    if self._clip_norm is not None:
      factor = tf.minimum(factor, self._clip_norm / norm)
    elif tf.get_static_value(self.loss_scale.value) == 1.0:
      return gradients
    return [g * tf.cast(factor, g.dtype) for g in gradients]


def _only_if(verdict, function):
  """Run the operations that `function` makes only if `verdict` is True.

  This is how tf.cond() of version 1 works. That of version 2 would pass each gradient and variable
  to two functions, which would be a fifth of all operations of a large network.

  Args:
    verdict: scalar bool tensor.
    function: function without arguments that returns an operation.

  Returns:
    An operation that runs after that one, or if `verdict` is False without it.
  """
  no, yes = tf.raw_ops.Switch(data=verdict, pred=verdict)
  with tf.control_dependencies([tf.identity(yes)]):
    done = function()
  with tf.control_dependencies([done]):
    yes = tf.identity(yes)
  return tf.raw_ops.Merge(inputs=[no, yes]).output.op


def _norm_of_vectors(differences):
  """Return the norm of what batch norm subtracts from its averages, a scalar.

  It shows values in batch norm that are not finite, as a rectifier may hide them from the gradient.
  It is a single norm, as some networks have a thousand averages.
  """
  if not differences:
    return 0.0
  return tf.norm(tf.concat([d if d.shape.rank == 1 else tf.reshape(d, [-1])
                            for d in differences], 0))


def _moving_averages():
  """Return the resources and the differences of the updates in UPDATE_OPS, two lists.

  Batch norm subtracts a difference from its moving averages. The operations themselves stay unused:
  only in a step that passes the check, the mean of the differences over micro-batches and ranks is
  subtracted, so that the averages are also equal on all ranks, and are those of all images.
  """
  averages, differences = [], []
  for operation in tf.get_collection(tf.GraphKeys.UPDATE_OPS):
    operation = getattr(operation, 'op', operation)
    if operation.type != 'AssignSubVariableOp':
      raise ValueError(f'{operation.name} in UPDATE_OPS is a {operation.type}: only updates '
                       'by assign_sub, as those of batch norm, can be skipped with a step')
    averages.append(operation.inputs[0])
    differences.append(operation.inputs[1])
  return averages, differences
