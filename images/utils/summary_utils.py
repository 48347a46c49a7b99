"""Writes the numbers of training steps to the event file, for TensorBoard."""
from images.utils import accumulation_utils
from images.utils.tf1 import tf

_TAGS = ('loss', 'accuracy', 'learning_rate', 'loss_scale')


class SummaryHook(tf.train.SessionRunHook):
  """Writes the graph, and every so many steps, from the first, loss, accuracy and the like.

  The same tensors are fetched in every step. With an operation that is fetched in some steps
  only, TensorFlow prepares the graph twice, which takes many seconds for a large network.
  """

  def __init__(self, tensors, output_dir, every_n_iters):
    """Write the entries _TAGS of `tensors` that are there; 'step' and 'complete' have to be."""
    self._means = accumulation_utils.StepMeans()
    self._tensors = {name: tensors[name] for name in (*_TAGS, 'step', 'complete')
                     if tensors.get(name) is not None}
    self._every_n_iters = every_n_iters
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
    step = int(values['step'])
    if step == 1 or step % self._every_n_iters == 0:
      self._writer.add_summary(tf.Summary(value=[
          tf.Summary.Value(tag=name, simple_value=values[name])
          for name in _TAGS if name in values]), step)

  def end(self, session):
    self._writer.flush()
