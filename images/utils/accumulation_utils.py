"""Makes one update from the mean of several micro-batches, each a run of the session.

Horovod's `backward_passes_per_step` would accumulate only gradients, but the update of batch norm's
moving averages and the check for finite values also have to be made once per step.
"""
from images.utils.tf1 import tf


def every(steps, tensors, update):
  """Update with the means of `tensors` over the last `steps` runs, in every `steps`-th run.

  The sums are local variables: a new session starts them at zero, and no checkpoint holds them.

  Args:
    steps: integer, the number of runs per update; 1 updates in every run.
    tensors: list of float32 tensors of static shapes.
    update: function from the list of means to the verdict of an update, a bool scalar tensor that
      depends on every operation of the update.

  Returns:
    (verdict, complete): bool scalar tensors. `complete` tells whether this run was the last one of
    an update; the verdict is True if it was not.
  """
  if steps == 1:
    return update(tensors), tf.constant(True)
  with tf.variable_scope('accumulation', custom_getter=_local_getter):
    runs = tf.get_variable('runs', initializer=0)
    sums = [tf.get_variable(f'sum_{number}', initializer=tf.zeros(tensor.shape))
            for number, tensor in enumerate(tensors)]
  added = [total.assign_add(tensor) for total, tensor in zip(sums, tensors)]
  with tf.control_dependencies(added):
    complete = tf.equal(runs.assign_add(1) % steps, 0)

  def update_and_clear():
    verdict = update([total.read_value() / steps for total in sums])
    with tf.control_dependencies([verdict]):
      cleared = [total.assign(tf.zeros_like(total)) for total in sums]
    with tf.control_dependencies(cleared):
      return tf.identity(verdict)

  return tf.cond(complete, update_and_clear, lambda: tf.constant(True)), complete


class StepMeans:
  """Averages the loss and metrics that hooks see over the micro-batches of a step."""

  def __init__(self):
    self._runs = []

  def add(self, values):
    """Add the `values` of a run, a dict with 'loss', the dict 'metrics' and perhaps 'complete'.

    Return the values of the step if this run completes it, else None.
    """
    self._runs.append(values)
    if not values.get('complete', True):
      return None
    runs, self._runs = self._runs, []
    return {**values, 'loss': sum(run['loss'] for run in runs) / len(runs),
            'metrics': {name: sum(run['metrics'][name] for run in runs) / len(runs)
                        for name in values['metrics']}}


def _local_getter(getter, *args, **kwargs):
  return getter(*args, **{**kwargs, 'collections': [tf.GraphKeys.LOCAL_VARIABLES],
                          'trainable': False})
