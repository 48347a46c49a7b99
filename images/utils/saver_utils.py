"""Saves the checkpoints of a run, unless an update has made values that are not finite."""
import numpy as np
from absl import logging

from images.utils.error_utils import TrainingError, last_checkpoint
from images.utils.tf1 import tf


class CheckpointSaverHook(tf.train.CheckpointSaverHook):
  """Saves as TensorFlow's hook does, except the graph, and values that are no longer finite.

  SummaryHook writes the graph; TensorFlow's hook would do so twice, which takes seconds. A file of
  the graph next to the checkpoint is not needed, as the flags in the run's record rebuild it.
  """

  def __init__(self, output_dir, *, save_steps, saver):
    """Save every `save_steps` steps to the directory `output_dir` with `saver`, and at the end."""
    super().__init__(output_dir, save_steps=save_steps, saver=saver, save_graph_def=False,
                     listeners=[_FiniteListener(output_dir, saver)])

  def after_create_session(self, session, coord):
    with tf.Graph().as_default():
      super().after_create_session(session, coord)


class _FiniteListener(tf.train.CheckpointSaverListener):
  """Ends the run instead of saving values that are not finite, unless it began with them.

  A finite gradient may cause an update that is not finite. The next step would reveal this, but the
  last step has none, and a checkpoint from which no run can resume might replace a good one.
  """

  def __init__(self, output_dir, saver):
    self._output_dir = output_dir
    self._saved = saver.saver_def.save_tensor_name
    self._names = self._verdicts = self._from_the_start = None

  def begin(self):
    # One operation, which copies nothing, checks all that the saver reads: some networks have
    # thousands of variables.
    done = tf.get_default_graph().get_tensor_by_name(self._saved).op.control_inputs
    [save] = [op for op in done if op.type == 'SaveV2']
    names = tf.get_static_value(save.inputs[1])
    numbers = {name.decode(): tensor for name, tensor in zip(names, save.inputs[3:])
               if tensor.dtype.is_floating}
    self._names = list(numbers)
    self._verdicts = tf.numpy_function(_are_finite, list(numbers.values()), tf.bool)

  def before_save(self, session, global_step_value):
    wrong = [name for name, finite in zip(self._names, session.run(self._verdicts)) if not finite]
    if self._from_the_start is None:  # The first save is of what the run begins with.
      self._from_the_start = set(wrong)
      if wrong:
        logging.warning('the run begins with values that are not finite in %s', _in_words(wrong))
    ruined = [name for name in wrong if name not in self._from_the_start]
    if ruined:
      raise TrainingError(
          f'step {global_step_value}: the update made {_in_words(ruined)} not finite, and was not '
          f'saved; {last_checkpoint(self._output_dir)}. Lower --learning_rate, or set '
          '--max_gradient_norm.')


def _are_finite(*values):
  return np.array([np.isfinite(value).all() for value in values])


def _in_words(names):
  more = len(names) - 1
  return names[0] + (f' and {more} more variable{"s" * (more > 1)}' if more else '')
