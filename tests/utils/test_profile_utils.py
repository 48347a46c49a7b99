"""Timelines are of the runs that end steps."""
import json

import pytest

from images.utils import profile_utils
from images.utils.tf1 import tf


def train(output_dir, *, events=False, micro_batches=1, void=()):
  """Make seven steps, with a timeline of every third; return the numbers of the timelines.

  Args:
    void: the runs, counted from 1, that end a step which an overflow makes void.
  """
  with tf.Graph().as_default():
    run = tf.get_variable('runs', initializer=0).assign_add(1)
    complete = tf.equal(run % micro_batches, 0)
    counts = tf.logical_and(complete, tf.reduce_all(tf.not_equal(run, [0, *void])))
    step = tf.train.get_or_create_global_step().assign_add(tf.cast(counts, tf.int64))
    update = tf.cond(complete, lambda: tf.identity(step, name='update'), lambda: step)
    hooks = [profile_utils.ProfilerHook({'step': step, 'complete': complete}, str(output_dir), 3,
                                        events=events), tf.train.StopAtStepHook(7)]
    with tf.train.MonitoredSession(hooks=hooks) as session:
      while not session.should_stop():
        session.run(update)
  return sorted(int(path.stem.removeprefix('timeline-')) for path in output_dir.glob('*.json'))


@pytest.mark.parametrize('micro_batches', [1, 2, 4])
def test_the_run_that_updates_has_the_timeline(tmp_path, micro_batches):
  assert train(tmp_path, micro_batches=micro_batches) == [3, 6]
  for number in (3, 6):
    trace = json.loads((tmp_path / f'timeline-{number}.json').read_text())
    names = {event['args']['name'] for event in trace['traceEvents'] if 'dur' in event}
    assert any('update' in name for name in names)


def test_a_step_made_void_has_none(tmp_path):
  """The third run overflows, so that the fourth makes step 3."""
  assert train(tmp_path, void=[3]) == [3, 6]


@pytest.mark.parametrize('events', [False, True])
def test_the_event_file_is_the_chiefs(tmp_path, events):
  train(tmp_path / 'run', events=events)
  paths = list((tmp_path / 'run').glob('events.*'))
  tags = [event.tagged_run_metadata.tag for path in paths
          for event in tf.train.summary_iterator(str(path))]
  assert [tag for tag in tags if tag] == (['step_3', 'step_6'] if events else [])
  assert len(paths) == events
