"""PAISoar's interface to data-parallel training, Horovod inside.

The order on N ranks: gradients of the scaled loss, mean over the ranks, one verdict
whether all are finite, division by the scale, clipping by the global norm, the update.
The verdict is on the mean, which is the same everywhere, so the ranks never differ. A
step with a gradient that is not finite changes nothing but the loss scale.
"""
from images.utils import cluster_utils, loss_scale
from images.utils.tf1 import tf


class ReplicatedVarsOptimizer:
  """Trains one replica of the variables per rank, kept equal by equal updates."""

  def __init__(self, optimizer, clip_norm=None):
    """Wrap `optimizer`, a tf.train.Optimizer.

    Args:
      optimizer: the optimizer that applies the gradients.
      clip_norm: float, the largest global norm of the mean gradient, or None.
    """
    self._optimizer = optimizer
    self._clip_norm = clip_norm
    self.loss_scale = loss_scale.FixedLossScale(1.0)
    self.finite = None  # Scalar bool tensor, the verdict of a step; set by minimize().

  def compute_loss(self, loss_fn, loss_scale=1.0):  # noqa: F811 - the published name
    """Build the loss of this rank's batch.

    Args:
      loss_fn: function without arguments that returns the loss, a scalar.
      loss_scale: float, the factor of the loss while gradients are computed; 0 adapts
        it while training.

    Returns:
      The loss, a scalar float32 tensor, not scaled.
    """
    self.loss_scale = _get_loss_scale(loss_scale)
    return tf.cast(loss_fn(), tf.float32)

  def minimize(self, loss, global_step=None, var_list=None):
    """Return the training operation.

    Args:
      loss: what compute_loss() returned.
      global_step: integer variable that counts the updates, or None.
      var_list: the variables to train, by default all trainable ones.

    Raises:
      ValueError: the loss depends on none of the variables.
    """
    scale = self.loss_scale.value
    pairs = [(gradient, variable) for gradient, variable
             in self._optimizer.compute_gradients(loss * scale, var_list)
             if gradient is not None]
    if not pairs:
      raise ValueError('the loss depends on none of the trained variables: '
                       f'{[v.op.name for v in var_list or tf.trainable_variables()]}')
    gradients, variables = zip(*pairs)
    gradients = [cluster_utils.mean(tf.convert_to_tensor(g)) for g in gradients]
    self.finite = tf.reduce_all([tf.reduce_all(tf.is_finite(g)) for g in gradients])
    gradients = [g / tf.cast(scale, g.dtype) for g in gradients]
    if self._clip_norm is not None:
      gradients, _ = tf.clip_by_global_norm(gradients, self._clip_norm)
    update = tf.cond(
        self.finite,
        lambda: self._optimizer.apply_gradients(zip(gradients, variables), global_step),
        tf.no_op)
    with tf.control_dependencies([update]):
      return tf.group(self.loss_scale.update(self.finite), *self._guarded_updates())

  def _guarded_updates(self):
    """Return the operations of UPDATE_OPS, without effect in a step that is not finite.

    Batch norm subtracts a difference from its moving averages; the operation is built
    anew with a difference that is zero unless the step is good.
    """
    updates = []
    for operation in tf.get_collection(tf.GraphKeys.UPDATE_OPS):
      operation = getattr(operation, 'op', operation)
      if operation.type != 'AssignSubVariableOp':
        raise ValueError(f'{operation.name} in UPDATE_OPS is a {operation.type}: only updates '
                         'by assign_sub, as those of batch norm, can be skipped with a step')
      variable, difference = operation.inputs
      kept = tf.where(self.finite, difference, tf.zeros_like(difference))
      updates.append(tf.raw_ops.AssignSubVariableOp(resource=variable, value=kept))
    return updates


_get_loss_scale = loss_scale.get_loss_scale  # compute_loss() has an argument of that name.
