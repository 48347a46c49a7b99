"""Timelines of training steps, for chrome://tracing and TensorBoard."""
import importlib
import os

from images.utils.tf1 import tf


class ProfilerHook(tf.train.SessionRunHook):
  """Writes the timeline of every `every_n_iters`-th step, as timeline-<step>.json.

  With several micro-batches it traces the last run of the session in a step, the only one that
  exchanges gradients and updates. tf.train.ProfilerHook would take each run for a step, and would
  open the event file on any rank.
  """

  def __init__(self, tensors, output_dir, every_n_iters, *, events):
    """Watch 'step' and, if present, 'complete' of `tensors`, see hooks_utils.LoggingTensorHook.

    Args:
      tensors: dict of scalar tensors.
      output_dir: string, directory of the timelines, made if it is missing.
      every_n_iters: int, steps from one timeline to the next; the first step has none.
      events: bool, whether the times also go to the event file, which only one rank may write.
    """
    self._tensors = {name: tensors[name] for name in ('step', 'complete') if name in tensors}
    self._output_dir = output_dir
    self._every_n_iters = every_n_iters
    self._events = events
    self._run = 1  # The number of the next run within its step, from 1.
    self._runs = self._step = None  # Those of the previous step: how many runs, and its number.

  def before_run(self, run_context):
    self._traced = self._run == self._runs and (self._step + 1) % self._every_n_iters == 0
    return tf.train.SessionRunArgs(self._tensors, options=tf.RunOptions(
        trace_level=tf.RunOptions.FULL_TRACE) if self._traced else None)

  def after_run(self, run_context, run_values):
    step = int(run_values.results['step'])
    if self._traced and step == self._step + 1:  # An overflow skips the step.
      self._write(step, run_values.run_metadata)
    if run_values.results.get('complete', True):
      self._step, self._runs, self._run = step, self._run, 1
    else:
      self._run += 1

  def _write(self, step, run_metadata):
    timeline = importlib.import_module('tensorflow.python.client.timeline')
    tf.io.gfile.makedirs(self._output_dir)
    path = os.path.join(self._output_dir, f'timeline-{step}.json')
    with tf.io.gfile.GFile(path, 'w') as file:
      file.write(timeline.Timeline(run_metadata.step_stats).generate_chrome_trace_format())
    if self._events:
      writer = tf.summary.FileWriterCache.get(self._output_dir)
      writer.add_run_metadata(run_metadata, f'step_{step}')
      writer.flush()
