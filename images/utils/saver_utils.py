"""Saves the checkpoints of a run, of numbers that are finite."""
import numpy as np

from images.utils.error_utils import TrainingError, last_checkpoint
from images.utils.tf1 import tf


class CheckpointSaverHook(tf.train.CheckpointSaverHook):
  """Saves as TensorFlow's hook does, but neither its graph nor what an update has ruined.

  SummaryHook writes the graph: TensorFlow's hook would do so twice, in seconds. As a file beside
  the checkpoint it is not needed either, as the flags in the run's record make it again.
  """

  def __init__(self, output_dir, *, save_steps, saver):
    """Save every `save_steps` steps to the directory `output_dir` with `saver`, and at the end."""
    super().__init__(output_dir, save_steps=save_steps, saver=saver, save_graph_def=False,
                     listeners=[_FiniteListener(output_dir)])

  def after_create_session(self, session, coord):
    with tf.Graph().as_default():
      super().after_create_session(session, coord)


class _FiniteListener(tf.train.CheckpointSaverListener):
  """Ends the run instead of saving variables that are not finite.

  A gradient may be finite and the update by it not be. The next step would tell, but there is none
  after the last, and a checkpoint that nobody can go on from may take the place of a good one.
  """

  def __init__(self, output_dir):
    self._output_dir = output_dir
    self._variables = None
    self._began = False

  def begin(self):
    self._variables = {variable.op.name: variable for variable in tf.global_variables()}

  def before_save(self, session, global_step_value):
    if not self._began:  # No update yet, and the first step is a test of these.
      self._began = True
      return
    wrong = [name for name, value in session.run(self._variables).items()
             if not np.isfinite(value).all()]
    if wrong:
      more = f' and {len(wrong) - 1} more variables' if len(wrong) > 1 else ''
      raise TrainingError(
          f'step {global_step_value}: {wrong[0]}{more} not finite after the update, and not saved; '
          f'{last_checkpoint(self._output_dir)}. Lower --learning_rate, or set '
          '--max_gradient_norm.')
