"""The training hooks: a table from names to builders, and the hooks that every run has."""
import collections
import datetime
import math
import time

from absl import logging

from images.utils import (
    accumulation_utils,
    cluster_utils,
    name_utils,
    profile_utils,
    saver_utils,
    stall_utils,
    stop_utils,
    summary_utils,
)
from images.utils.error_utils import TrainingError, last_checkpoint
from images.utils.tf1 import tf

# What a builder may use: `tensors`, the dict of progress_utils.progress_tensors(); `total_steps`;
# `global_batch`, the images in a step over all ranks; the others are flags of the same names.
Run = collections.namedtuple('Run', [
    'tensors', 'output_dir', 'total_steps', 'global_batch', 'log_loss_every_n_iters',
    'profile_every_n_iters', 'profile_at_task', 'save_checkpoint_every_n_iters',
    'max_checkpoints_to_keep'])


# The log warns if waiting for images takes more than this fraction of the time.
_MUCH_WAITING = 0.05


def get_hooks(names, run):
  """Return the list of hooks for a training run.

  First come the hooks that every run has. They report progress to the watch over stalls, give all
  ranks the same variables, end the run at values that are not finite (before any hook that saves),
  end it at a signal, and end it at the last step, as it would otherwise never end. The hook of the
  event file comes last, as TensorBoard shows only the last graph in the file.

  Args:
    names: string, comma-separated keys of HOOKS.
    run: the Run.

  Raises:
    ValueError: an unknown name; the message lists the known ones.
  """
  builders = get_builders(','.join(['StopAtStepHook', names]))
  hooks = [builder(run) for builder in builders.values()]
  return [hook for hook in (
      stall_utils.MilestoneHook(), BroadcastGlobalVariablesHook(),
      FiniteTrainingHook(run.tensors, run.output_dir), stop_utils.StopAtSignalHook(run.tensors),
      *hooks, _summary_hook(run)) if hook is not None]


def get_builders(names):
  """Return the builders of hooks, a dict in the order of their comma-separated names.

  Raises:
    ValueError: an unknown name; the message lists the known ones.
  """
  names = [name.strip() for name in names.split(',') if name.strip()]
  return {name: name_utils.lookup(HOOKS, name, 'hook (--hooks)') for name in names}


class BroadcastGlobalVariablesHook(tf.train.SessionRunHook):
  """Gives all ranks the chief's variables once they are initialised or restored."""

  def begin(self):
    self._broadcast = cluster_utils.broadcast_global_variables()
    self._sessions = 0

  def after_create_session(self, session, coord):
    self._sessions += 1
    if self._sessions > 1:
      # MonitoredTrainingSession makes a new session after an error that it considers transient;
      # the other ranks would wait for this one forever.
      raise TrainingError('the session was lost, most likely with another rank; the same '
                          'command resumes from the newest checkpoint')
    session.run(self._broadcast)


class FiniteTrainingHook(tf.train.SessionRunHook):
  """Ends the run at a loss, gradient or batch statistic that is not finite, before it is saved.

  An overflow of a gradient under a dynamic loss scale above 1e-3 does not end it: the step is
  skipped.
  """

  def __init__(self, tensors, output_dir):
    """Watch the entries of `tensors`, the dict of progress_utils.

    Args:
      tensors: dict with 'step' (after the update), 'loss', 'lost' (bool [ranks], which of them have
        a loss that is not finite), 'finite' (bool), 'complete' (bool, whether this run of the
        session ends a step), 'loss_scale', and 'dynamic' (a Python bool, whether it adapts).
      output_dir: string, the directory of the run.
    """
    self._tensors = {name: tensors[name]
                     for name in ('step', 'loss', 'lost', 'finite', 'complete', 'loss_scale')}
    self._dynamic = tensors['dynamic']
    self._output_dir = output_dir

  def before_run(self, run_context):
    return tf.train.SessionRunArgs(self._tensors)

  def after_run(self, run_context, run_values):
    values = run_values.results
    if not math.isfinite(values['loss']):
      ranks = ', '.join(str(rank) for rank, lost in enumerate(values['lost']) if lost)
      whose = f' on rank {ranks}' if ranks and cluster_utils.size() > 1 else ''
      self._fail(values, f'the loss is {values["loss"]}{whose}',
                 'Lower --learning_rate, set --max_gradient_norm, or look at the data')
    if values['finite'] or (self._dynamic and values['loss_scale'] > 1e-3):
      return
    other = '--use_fp16=False' if self._dynamic else '--loss_scale=0'
    self._fail(values, 'a gradient or batch statistic is not finite at loss scale '
               f'{values["loss_scale"]:g}',
               f'Lower --learning_rate, set --max_gradient_norm, or use {other}')

  def _fail(self, values, what, remedy):
    # The number of updates that led to the weights that failed. If the gradients were finite,
    # another update has been made since.
    weights = int(values['step']) - (1 if values['finite'] and values['complete'] else 0)
    raise TrainingError(f'step {weights + 1}: {what}; '
                        f'{last_checkpoint(self._output_dir, bad_step=weights)}. {remedy}.')


class LoggingTensorHook(tf.train.SessionRunHook):
  """Logs the progress of training, every `every_n_iters` steps and at the last one.

  Loss, metrics and learning rate are those of the logged step, the first two as means over all
  ranks and micro-batches; images/s counts the images of all ranks.
  """

  def __init__(self, tensors, *, every_n_iters, total_steps, global_batch):
    """Log entries of `tensors`, the dict of progress_utils; the loss scale only if it adapts."""
    shown = ['step', 'complete', 'loss', 'metrics', 'learning_rate', 'wait']
    shown += ['loss_scale'] if tensors['dynamic'] else []
    shown += ['skipped'] if 'skipped' in tensors else []
    self._tensors = {name: tensors[name] for name in shown}
    self._every_n_iters = every_n_iters
    self._total_steps = total_steps
    self._global_batch = global_batch
    self._means = accumulation_utils.StepMeans()
    self._values = self._logged_step = None
    self._waits = False
    self._begin(None)

  def before_run(self, run_context):
    return tf.train.SessionRunArgs(self._tensors)

  def after_run(self, run_context, run_values):
    wait = run_values.results['wait']
    # All ranks wait in a step until the last one has its images.
    self._waited, self._of_ranks = self._waited + max(wait), self._of_ranks + wait
    values = self._means.add(run_values.results)
    if values is None:
      return
    self._values = values
    step = int(values['step'])
    if self._started is None:
      # The first step is not timed, as it also waits for the first images and for the threads.
      self._begin((step, time.monotonic()))
    if step % self._every_n_iters == 0 and step != self._logged_step:
      self._log()

  def end(self, session):
    if self._values and int(self._values['step']) != self._logged_step:
      self._log()

  def _begin(self, started):
    """Begin an interval; `started` is its (step, time)."""
    self._started, self._waited, self._of_ranks = started, 0.0, 0.0

  def _log(self):
    values, now = self._values, time.monotonic()
    step = int(values['step'])
    started_step, started = self._started
    waiting = 0.0
    parts = [f'step {step}/{self._total_steps}', f'loss {values["loss"]:.4f}']
    rows = [(name, value, '.4f') for name, value in values['metrics'].items()]
    rows += [(name, values[name], form)
             for name, form in (('learning_rate', '.3g'), ('loss_scale', 'g')) if name in values]
    parts += [f'{name.replace("_", " ")} {value:{form}}' for name, value, form in rows]
    if step > started_step:
      seconds = (now - started) / (step - started_step)
      left = datetime.timedelta(seconds=round((self._total_steps - step) * seconds))
      speed = self._global_batch / seconds
      waiting = self._waited / (now - started)
      parts += [f'{speed:,.{1 if speed >= 10 else 2}f} images/s', f'{left} left',
                f'waiting for images {100 * waiting:.0f} %']
    if values.get('skipped'):
      parts.append(f'{values["skipped"]} undecodable images skipped')
    logging.info('  '.join(parts))
    waits = waiting > _MUCH_WAITING
    if waits and not self._waits:  # Warn once; every line has the share.
      longest = f', most on rank {self._of_ranks.argmax()}' if cluster_utils.size() > 1 else ''
      logging.warning('training waits for images%s: raise --num_preprocessing_threads if cores '
                      'are idle, or --prefetch_buffer_size if the supply is uneven', longest)
    self._logged_step, self._waits = step, waits
    self._begin((step, now))


def _summary_hook(run):
  if not cluster_utils.is_chief():
    return None
  return summary_utils.SummaryHook(run.tensors, run.output_dir, run.log_loss_every_n_iters)


def _stop_at_step_hook(run):
  return tf.train.StopAtStepHook(last_step=run.total_steps)


def _profiler_hook(run):
  if not run.profile_every_n_iters:
    return None
  if run.profile_at_task >= cluster_utils.size():
    raise ValueError(f'--profile_at_task={run.profile_at_task} is not a rank of this run: choose '
                     f'one in [0, {cluster_utils.size()})')
  if cluster_utils.rank() != run.profile_at_task:
    return None
  return profile_utils.ProfilerHook(run.tensors, run.output_dir, run.profile_every_n_iters,
                                    events=cluster_utils.is_chief())


def _logging_tensor_hook(run):
  if not cluster_utils.is_chief():
    return None
  return LoggingTensorHook(run.tensors, every_n_iters=run.log_loss_every_n_iters,
                           total_steps=run.total_steps, global_batch=run.global_batch)


def _checkpoint_saver_hook(run):
  if not cluster_utils.is_chief():
    return None
  saver = tf.train.Saver(max_to_keep=run.max_checkpoints_to_keep, save_relative_paths=True)
  tf.add_to_collection(tf.GraphKeys.SAVERS, saver)  # The session restores with the same one.
  return saver_utils.CheckpointSaverHook(
      run.output_dir, save_steps=run.save_checkpoint_every_n_iters, saver=saver)


HOOKS = {
    'StopAtStepHook': _stop_at_step_hook,
    'ProfilerHook': _profiler_hook,
    'LoggingTensorHook': _logging_tensor_hook,
    'CheckpointSaverHook': _checkpoint_saver_hook,
}
