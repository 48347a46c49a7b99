import glob
import itertools
import logging
import re
import types

import numpy as np
import pytest

from images.utils import cluster_utils, hooks_utils, paisoar, progress_utils, stall_utils
from images.utils.error_utils import TrainingError
from images.utils.tf1 import tf

DEFAULT = 'StopAtStepHook,ProfilerHook,LoggingTensorHook,CheckpointSaverHook'

# What LoggingTensorHook asks for, where a test itself says what a step has given.
TENSORS = {**dict.fromkeys(['step', 'complete', 'loss', 'metrics', 'learning_rate', 'wait']),
           'dynamic': False}


def build(*, poison=None, poison_loss=None, poison_gradient=None, loss_scale=1.0, skipped=None,
          wait=None, accumulate_steps=1):
  """Build a training step on the loss 3 w from w = 2; return the dict of its tensors.

  Args:
    poison: int, the global step at which loss and gradient are not a number.
    poison_loss: int, the global step at which the loss alone is infinite.
    poison_gradient: int, the global step at which the gradient alone is infinite.
    wait: list of the seconds that each step has waited for its images; by default none.
  """
  global_step = tf.train.get_or_create_global_step()
  opt = paisoar.ReplicatedVarsOptimizer(tf.train.GradientDescentOptimizer(0.5),
                                        accumulate_steps=accumulate_steps)

  def loss_fn():
    w = tf.get_variable('w', initializer=2.0)
    step = tf.cast(global_step, tf.float32)
    if poison is not None:
      return 3.0 * w * tf.where(tf.equal(step, poison), np.nan, 1.0)
    if poison_loss is not None:
      return 3.0 * w + tf.where(tf.equal(step, poison_loss), np.inf, 0.0)
    if poison_gradient is not None:
      # The slope of sqrt at zero.
      return 3.0 * w + tf.sqrt(w * tf.abs(step - poison_gradient) + 0.0 * w)
    return 3.0 * w

  loss = opt.compute_loss(loss_fn, loss_scale)
  train_op = opt.minimize(loss, global_step=global_step)
  waited = tf.constant(0.0)
  if wait is not None:
    with tf.control_dependencies([train_op]):
      waited = tf.gather(tf.constant(wait, tf.float64), global_step.read_value() - 1)
  tensors = progress_utils.progress_tensors(
      train_op, opt, loss=loss, metrics={'accuracy': tf.constant(0.25)},
      learning_rate=tf.constant(0.5),
      skipped=None if skipped is None else tf.constant(skipped, tf.int64),
      allowed=tf.constant(7, tf.int64), wait=waited, follow=lambda skipped: tf.no_op())
  return train_op, tensors


def run(tmp_path, names=DEFAULT, *, total_steps=5, every=2, profile_every=0, profile_at=0,
        save_every=100, **kwargs):
  """Train for `total_steps`; return the graph."""
  with tf.Graph().as_default() as graph:
    train_op, tensors = build(**kwargs)
    hooks = hooks_utils.get_hooks(names, hooks_utils.Run(
        tensors=tensors, output_dir=str(tmp_path), total_steps=total_steps, global_batch=64,
        log_loss_every_n_iters=every, profile_every_n_iters=profile_every,
        profile_at_task=profile_at, save_checkpoint_every_n_iters=save_every,
        max_checkpoints_to_keep=2))
    with tf.train.MonitoredSession(tf.train.ChiefSessionCreator(
        checkpoint_dir=str(tmp_path)), hooks) as session:
      while not session.should_stop():
        session.run(train_op)
  return graph


@pytest.fixture
def log(caplog):
  """The lines of the log that tell of a step."""
  caplog.set_level(logging.INFO)
  return lambda: [r.message for r in caplog.records if r.message.startswith('step ')]


def test_the_lines_of_the_log(tmp_path, log):
  """Every so many steps and at the last one, with the loss before the step's update."""
  run(tmp_path, total_steps=5, every=2)
  lines = log()
  rate = r'  [\d,]+\.\d images/s'
  # w falls by 1.5 in each step; step 2 begins with w = 0.5.
  assert len(lines) == 3
  assert re.fullmatch(r'step 2/5  loss 1\.5000  accuracy 0\.2500  learning rate 0\.5' + rate
                      + r'  \d:\d\d:\d\d left  waiting for images 0 %', lines[0])
  assert lines[1].startswith('step 4/5  loss -7.5000  accuracy 0.2500  learning rate 0.5')
  assert re.fullmatch(r'step 5/5  loss -12\.0000  .*' + rate
                      + r'  0:00:00 left  waiting for images 0 %', lines[2])


@pytest.mark.parametrize(('waited', 'shown', 'warnings'), [
    ([0.1] * 8, '4 %', 0), ([0.6] * 8, '24 %', 1), ([0, 0, 0.6, 0.6] * 2, '24 %', 2)])
def test_the_share_of_time_that_steps_wait_for_images(tmp_path, log, caplog, monkeypatch, waited,
                                                      shown, warnings):
  """The clock of the hook ticks five seconds from line to line, which are two steps.

  A warning comes where the share rises.
  """
  ticks = itertools.count(0, 5)
  monkeypatch.setattr(hooks_utils, 'time', types.SimpleNamespace(monotonic=lambda: next(ticks)))
  run(tmp_path, 'LoggingTensorHook', total_steps=8, every=2, wait=waited)
  assert log()[1].endswith(f'  waiting for images {shown}')
  assert caplog.text.count('raise --num_preprocessing_threads') == warnings


def test_the_share_of_waiting_is_of_the_rank_that_all_wait_for(log, caplog, monkeypatch):
  """Each of ten steps takes a second, of which one rank or the other waits a tenth."""
  ticks = itertools.count(0, 10)
  monkeypatch.setattr(hooks_utils, 'time', types.SimpleNamespace(monotonic=lambda: next(ticks)))
  monkeypatch.setattr(cluster_utils, 'size', lambda: 2)
  hook = hooks_utils.LoggingTensorHook(TENSORS, every_n_iters=10, total_steps=20, global_batch=8)
  for step in range(10, 21):
    wait = np.array([0.1, 0.0] if step < 14 else [0.0, 0.1], np.float32)
    hook.after_run(None, tf.train.SessionRunValues(
        {'step': step, 'loss': 0.5, 'metrics': {}, 'wait': wait}, None, None))
  assert log()[-1].endswith('  waiting for images 10 %')
  assert 'training waits for images, most on rank 1: raise' in caplog.text


def test_micro_batches_are_no_steps_of_the_log(tmp_path, log):
  run(tmp_path, 'LoggingTensorHook', total_steps=5, every=2, accumulate_steps=3)
  assert [line.split()[1] for line in log()] == ['2/5', '4/5', '5/5']


def test_the_log_has_the_means_of_micro_batches(log):
  hook = hooks_utils.LoggingTensorHook(TENSORS, every_n_iters=1, total_steps=1, global_batch=8)
  for step, loss, top_5 in ((0, 4.0, 0.5), (1, 1.0, 0.75)):
    hook.after_run(None, tf.train.SessionRunValues(
        {'step': step, 'loss': loss, 'metrics': {'top_5': top_5}, 'complete': step == 1,
         'wait': np.zeros(1)}, None, None))
  assert log() == ['step 1/1  loss 2.5000  top 5 0.6250']


def test_a_last_step_on_the_interval_is_logged_once(tmp_path, log):
  run(tmp_path, total_steps=4, every=2)
  assert [line.split()[1] for line in log()] == ['2/4', '4/4']


@pytest.mark.parametrize(('global_batch', 'speed'), [
    (64, '32.0'), (9, '4.50'), (20000, '10,000.0')])
def test_images_per_second_and_the_time_left(log, monkeypatch, global_batch, speed):
  """A clock that stands still but for two seconds between one step and the next."""
  hook = hooks_utils.LoggingTensorHook(TENSORS, every_n_iters=10, total_steps=1830,
                                       global_batch=global_batch)
  monkeypatch.setattr(hooks_utils.time, 'monotonic', lambda: 1000.0 + 2.0 * hook._values['step'])
  for step in range(1, 31):
    hook.after_run(None, tf.train.SessionRunValues(
        {'step': np.int64(step), 'loss': np.float32(0.5), 'metrics': {}, 'wait': np.zeros(1)}, None,
        None))
  assert log() == [f'step {step}/1830  loss 0.5000  {speed} images/s  {left} left  waiting for '
                   'images 0 %'
                   for step, left in ((10, '1:00:40'), (20, '1:00:20'), (30, '1:00:00'))]


def test_skipped_images_and_an_adapting_scale_are_logged(tmp_path, log):
  run(tmp_path, total_steps=1, skipped=7, loss_scale=0)
  [line] = log()
  assert line == ('step 1/1  loss 6.0000  accuracy 0.2500  learning rate 0.5  '
                  'loss scale 32768  7 undecodable images skipped')


def test_only_the_chief_logs_and_saves(tmp_path, log, monkeypatch):
  monkeypatch.setattr(cluster_utils, 'rank', lambda: 1)
  run(tmp_path)
  assert log() == []
  assert list(tmp_path.iterdir()) == []


def test_training_ends_at_the_last_step_and_saves_it(tmp_path):
  run(tmp_path, total_steps=5)
  path = tf.train.latest_checkpoint(str(tmp_path))
  assert path == f'{tmp_path}/model.ckpt-5'
  reader = tf.train.load_checkpoint(path)
  assert reader.get_tensor('global_step') == 5
  assert reader.get_tensor('w') == 2.0 - 5 * 1.5


def test_checkpoints_at_intervals_and_how_many_are_kept(tmp_path):
  run(tmp_path, total_steps=7, save_every=3)
  found = sorted(path.name for path in tmp_path.glob('*.index'))
  assert found == ['model.ckpt-6.index', 'model.ckpt-7.index']


def test_a_run_goes_on_from_its_checkpoint(tmp_path, log):
  run(tmp_path, total_steps=2)
  run(tmp_path, total_steps=4)
  assert tf.train.load_checkpoint(str(tmp_path / 'model.ckpt-4')).get_tensor('w') == 2.0 - 6.0
  assert [line.split()[1] for line in log()] == ['2/2', '4/4']


def test_training_ends_without_the_hook_being_named(tmp_path):
  run(tmp_path, names='CheckpointSaverHook', total_steps=3)
  assert tf.train.latest_checkpoint(str(tmp_path)).endswith('model.ckpt-3')


def test_the_session_restores_with_the_saver_that_saves(tmp_path):
  graph = run(tmp_path, total_steps=1)
  assert [op.type for op in graph.get_operations()].count('SaveV2') == 1
  assert sorted(path.suffix for path in tmp_path.glob('model.ckpt-1*')) == [
      '.data-00000-of-00001', '.index']


@pytest.mark.parametrize('profile_every', [0, 1])
def test_the_event_file_holds_the_graph_once_and_last(tmp_path, profile_every):
  """TensorBoard shows the last one; those before it are empty."""
  graph = run(tmp_path, total_steps=1, profile_every=profile_every)
  (path,) = tmp_path.glob('events.out.tfevents.*')
  nodes = [len(tf.GraphDef.FromString(event.graph_def).node)
           for event in tf.train.summary_iterator(str(path)) if event.HasField('graph_def')]
  assert [n for n in nodes if n] == nodes[-1:] == [len(graph.get_operations())]


def test_a_loss_that_is_not_finite_ends_the_run_unsaved(tmp_path):
  with pytest.raises(TrainingError) as error:
    run(tmp_path, poison=3, save_every=2)
  assert str(error.value) == (
      f'step 4: the loss is nan; the newest checkpoint, {tmp_path}/model.ckpt-2, is complete. '
      'Lower --learning_rate, set --max_gradient_norm, or look at the data.')


def test_the_guard_comes_before_the_hook_that_saves(tmp_path):
  """Step 4 would be saved, as its gradient is finite."""
  with pytest.raises(TrainingError, match='step 4: the loss is inf; .*/model.ckpt-2, is complete'):
    run(tmp_path, poison_loss=3, save_every=2)
  assert tf.train.latest_checkpoint(str(tmp_path)) == f'{tmp_path}/model.ckpt-2'


@pytest.mark.parametrize('poison', [{'poison': 2}, {'poison_loss': 2},
                                    {'poison': 2, 'accumulate_steps': 2}])
def test_a_checkpoint_with_the_weights_that_fail_is_not_to_be_gone_on_from(tmp_path, poison):
  """Whether or not the failing step, or a micro-batch of it, still made its update."""
  with pytest.raises(TrainingError) as error:
    run(tmp_path, save_every=1, **poison)
  assert re.sub('(nan|inf);', 'x;', str(error.value)) == (
      f'step 3: the loss is x; the newest checkpoint, {tmp_path}/model.ckpt-2, holds the weights '
      f'that failed: remove its files ({tmp_path}/model.ckpt-2.*), then the same command resumes '
      'from the one before, model.ckpt-1. Lower --learning_rate, set --max_gradient_norm, or '
      'look at the data.')


def test_a_first_loss_that_is_not_finite(tmp_path):
  with pytest.raises(TrainingError, match='step 1: the loss is nan; no checkpoint was written yet'):
    run(tmp_path, names='LoggingTensorHook', poison=0)


def test_a_dynamic_scale_does_not_excuse_the_loss(tmp_path):
  with pytest.raises(TrainingError, match='step 2: the loss is nan'):
    run(tmp_path, poison=1, loss_scale=0)


def test_a_gradient_that_is_not_finite_ends_the_run_under_a_fixed_scale(tmp_path):
  with pytest.raises(TrainingError, match='step 2: a gradient or batch statistic is not finite at '
                                          'loss scale 8; .*--loss_scale=0'):
    run(tmp_path, poison_gradient=1, loss_scale=8.0)


class Watch:
  """FiniteTrainingHook with values instead of tensors."""

  def __init__(self, tmp_path, *, dynamic):
    names = ('step', 'loss', 'lost', 'finite', 'complete', 'loss_scale')
    self._hook = hooks_utils.FiniteTrainingHook(
        {**dict.fromkeys(names), 'dynamic': dynamic}, str(tmp_path))

  def see(self, **values):
    self._hook.after_run(
        None, tf.train.SessionRunValues({'complete': True, **values}, None, None))


@pytest.mark.parametrize(('loss', 'lost', 'message'), [
    (np.nan, [False, True, False], 'step 7: the loss is nan on rank 1; no checkpoint'),
    (np.inf, [True, False, True], 'step 7: the loss is inf on rank 0, 2; no checkpoint'),
    (np.inf, [False] * 3, 'step 7: the loss is inf; no checkpoint')])
def test_the_ranks_whose_loss_is_not_finite(tmp_path, monkeypatch, loss, lost, message):
  """The mean of losses that are finite may be too large."""
  monkeypatch.setattr(cluster_utils, 'size', lambda: 3)
  with pytest.raises(TrainingError, match=f'^{message}'):
    Watch(tmp_path, dynamic=True).see(step=7, loss=loss, lost=lost, finite=True, loss_scale=1.0)


def test_an_overflow_under_a_dynamic_scale_is_no_error(tmp_path):
  Watch(tmp_path, dynamic=True).see(step=7, loss=1.0, finite=False, loss_scale=2.0 ** 15)
  with pytest.raises(TrainingError, match='step 8: a gradient or batch statistic is not finite'):
    Watch(tmp_path, dynamic=False).see(step=7, loss=1.0, finite=False, loss_scale=2.0 ** 15)


def test_a_dynamic_scale_that_falls_without_end_is_an_error(tmp_path):
  with pytest.raises(TrainingError, match='a gradient or batch statistic is not finite at loss '
                                          'scale 0.0005; .*or use --use_fp16=False'):
    Watch(tmp_path, dynamic=True).see(step=7, loss=1.0, finite=False, loss_scale=0.0005)


def test_an_unknown_hook_lists_the_known_ones_nearest_first(tmp_path):
  with pytest.raises(ValueError) as error:
    run(tmp_path, names='StopAtStepHook, LogingTensorHook')
  assert str(error.value).startswith(
      "unknown hook (--hooks): 'LogingTensorHook'; known, nearest first: LoggingTensorHook, ")


@pytest.mark.parametrize(('rank', 'timelines'), [(0, 0), (1, 2)])
def test_the_chosen_rank_alone_writes_timelines(tmp_path, monkeypatch, rank, timelines):
  monkeypatch.setattr(cluster_utils, 'rank', lambda: rank)
  with monkeypatch.context() as context:
    # The hooks are made as on one of two ranks, the step on one.
    context.setattr(hooks_utils.cluster_utils, 'size', lambda: 2)
    context.setattr(cluster_utils, 'mean', lambda tensor, *_: tensor)
    context.setattr(cluster_utils, 'mean_of_all', lambda tensors, name: tensors)
    context.setattr(cluster_utils, 'gather_objects', lambda value: [value] * 2)
    context.setattr(cluster_utils, 'broadcast_global_variables', tf.no_op)
    run(tmp_path, 'ProfilerHook', total_steps=5, profile_every=2, profile_at=1)
  assert len(glob.glob(f'{tmp_path}/timeline-*.json')) == timelines


def test_no_timelines_by_default(tmp_path):
  run(tmp_path)
  assert glob.glob(f'{tmp_path}/timeline-*.json') == []


def test_a_rank_that_is_not_there_writes_no_timelines(tmp_path):
  with pytest.raises(ValueError, match=r'--profile_at_task=1 is not a rank .* in \[0, 1\)'):
    run(tmp_path, profile_every=2, profile_at=1)


def test_a_lost_session_is_an_error():
  """The other ranks would wait for a second one for ever."""
  with tf.Graph().as_default(), tf.Session() as session:
    hook = hooks_utils.BroadcastGlobalVariablesHook()
    hook.begin()
    hook.after_create_session(session, None)
    with pytest.raises(TrainingError, match='the session was lost.*same command resumes'):
      hook.after_create_session(session, None)


def test_the_table_holds_the_default_of_the_flag():
  assert list(hooks_utils.HOOKS) == DEFAULT.split(',')


def test_a_session_begins_with_the_variables_of_the_chief(tmp_path, monkeypatch):
  """Only the chief restores a checkpoint; here its w is 9."""
  monkeypatch.setattr(cluster_utils, 'broadcast_global_variables',
                      lambda: tf.global_variables('w:')[0].assign(9.0))
  run(tmp_path, names='CheckpointSaverHook', total_steps=1)
  assert tf.train.load_checkpoint(f'{tmp_path}/model.ckpt-1').get_tensor('w') == 9.0 - 1.5


def test_the_watch_over_stalls_is_told_of_each_step(tmp_path, monkeypatch):
  watch = stall_utils._Watch()
  monkeypatch.setattr(stall_utils, '_watch', watch)
  run(tmp_path, total_steps=5)
  assert watch.state()[0] == 2 * 5  # The beginning and the end of each.


def test_a_moved_run_goes_on_from_its_checkpoint(tmp_path, log):
  run(tmp_path / 'a', total_steps=2)
  (tmp_path / 'a').rename(tmp_path / 'b')
  run(tmp_path / 'b', total_steps=4)
  assert [line.split()[1] for line in log()] == ['2/2', '4/4']
