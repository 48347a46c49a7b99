"""Writes the values of training steps to the event file, for TensorBoard."""
from images.utils import accumulation_utils
from images.utils.tf1 import tf

# The values that every step has, next to its metrics.
TAGS = ('loss', 'learning_rate', 'loss_scale')


class SummaryHook(tf.train.SessionRunHook):
  """Writes the graph, and the values of the first, every `every_n_iters`-th and the last step.

  The same tensors are fetched in every step. With an operation that is fetched in some steps
  only, TensorFlow prepares the graph twice, which takes many seconds for a large network.
  """

  def __init__(self, tensors, output_dir, every_n_iters):
    """Write some of `tensors` to the event file in `output_dir`, every `every_n_iters` steps.

    Args:
      tensors: dict with 'step', 'complete', 'metrics' (a dict) and any of TAGS.
      output_dir: string, the directory of the run.
      every_n_iters: int.
    """
    self._means = accumulation_utils.StepMeans()
    self._tensors = {name: tensors[name] for name in (*TAGS, 'metrics', 'step', 'complete')
                     if tensors.get(name) is not None}
    self._every_n_iters = every_n_iters
    self._values = self._written_step = None
    with tf.Graph().as_default():  # A new writer writes the default graph.
      self._writer = tf.summary.FileWriterCache.get(output_dir)

  def after_create_session(self, session, coord):
    self._writer.add_graph(session.graph)

  def before_run(self, run_context):
    return tf.train.SessionRunArgs(self._tensors)

  def after_run(self, run_context, run_values):
    values = self._means.add(run_values.results)
    if values is None:
      return
    self._values = values
    if values['step'] == 1 or values['step'] % self._every_n_iters == 0:
      self._write()

  def end(self, session):
    if self._values:
      self._write()
    self._writer.flush()  # What other hooks have written.

  def _write(self):
    step = int(self._values['step'])
    if step == self._written_step:  # An overflow skipped the update.
      return
    numbers = {name: self._values[name] for name in TAGS if name in self._values}
    self._writer.add_summary(tf.Summary(value=[
        tf.Summary.Value(tag=name, simple_value=value)
        for name, value in {**numbers, **self._values['metrics']}.items()]), step)
    self._writer.flush()  # Otherwise a killed run loses the last two minutes.
    self._written_step = step
