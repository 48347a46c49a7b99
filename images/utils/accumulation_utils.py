"""Updates from the mean of several micro-batches, each a run of the session.

Horovod's `backward_passes_per_step` would sum gradients alone: batch norm's averages, and the
verdict whether all is finite, belong to a step as well.
"""
from images.utils.tf1 import tf


def every(steps, tensors, update):
  """Update with the means of `tensors` over the last `steps` runs, at every `steps`-th run.

  The sums live in local variables: a new session starts without any, and no checkpoint
  holds them.

  Args:
    steps: integer, runs to an update; 1 updates at every run.
    tensors: list of float32 tensors of static shapes.
    update: function from the list of means to the verdict of an update, a bool scalar that
      depends on all that the update does.

  Returns:
    (verdict, complete): bool scalars. `complete` is whether this run has ended an update;
    the verdict is True for a run that has not.
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
  """What hooks see of a step: the means of loss and metrics over its micro-batches."""

  def __init__(self):
    self._runs = []

  def add(self, values):
    """Take in the `values` of a run, a dict with 'loss' and the dict 'metrics'.

    Return those of the step once it is complete, and before that None.
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
