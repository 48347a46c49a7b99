"""Writes the numbers of training steps to the event file, for TensorBoard."""
from images.utils import accumulation_utils
from images.utils.tf1 import tf

# The numbers that every step has.
TAGS = ('loss', 'learning_rate', 'loss_scale')


class SummaryHook(tf.train.SessionRunHook):
  """Writes the graph, and the numbers of the first step, of every so many, and of the last.

  The same tensors are fetched in every step. With an operation that is fetched in some steps
  only, TensorFlow prepares the graph twice, which takes many seconds for a large network.
  """

  def __init__(self, tensors, output_dir, every_n_iters):
    """Write the entries TAGS of `tensors` that are there, and those of its dict 'metrics'; 'step'
    and 'complete' have to be there too."""
    self._means = accumulation_utils.StepMeans()
    self._tensors = {name: tensors[name] for name in (*TAGS, 'metrics', 'step', 'complete')
                     if tensors.get(name) is not None}
    self._every_n_iters = every_n_iters
    self._values = self._written_step = None
    with tf.Graph().as_default():  # A new writer writes the default graph, in seconds if large.
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
    if step == self._written_step:  # An overflow has made another step of this number void.
      return
    numbers = {name: self._values[name] for name in TAGS if name in self._values}
    self._writer.add_summary(tf.Summary(value=[
        tf.Summary.Value(tag=name, simple_value=value)
        for name, value in {**numbers, **self._values['metrics']}.items()]), step)
    self._writer.flush()  # Else a run that is killed loses the last two minutes.
    self._written_step = step
