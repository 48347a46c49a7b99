"""What the event file holds of a run."""
import numpy as np
import pytest

from images.utils import summary_utils
from images.utils.tf1 import tf


@pytest.mark.parametrize('micro_batches', [1, 2])
def test_the_numbers_of_the_first_of_every_third_and_of_the_last_step(tmp_path, micro_batches):
  with tf.Graph().as_default():
    run = tf.train.get_or_create_global_step().assign_add(1)
    step = (run + micro_batches - 1) // micro_batches
    tensors = {'step': step, 'complete': tf.equal(run % micro_batches, 0),
               'loss': 10.0 / tf.cast(run, tf.float32), 'learning_rate': tf.constant(0.5),
               'loss_scale': None, 'metrics': {'in_full': 1.0 / tf.cast(run, tf.float32)}}
    hook = summary_utils.SummaryHook(tensors, str(tmp_path), 3)
    with tf.train.MonitoredSession(hooks=[hook]) as session:
      for _ in range(7 * micro_batches):
        session.run(run)
    assert not tf.get_collection(tf.GraphKeys.SUMMARIES)
  (path,) = tmp_path.glob('events.out.tfevents.*')
  found = {event.step: {value.tag: value.simple_value for value in event.summary.value}
           for event in tf.train.summary_iterator(str(path)) if event.summary.value}
  losses = {1: [10, 5], 3: [10 / 5, 10 / 6], 6: [10 / 11, 10 / 12], 7: [10 / 13, 10 / 14]}
  if micro_batches == 1:
    losses = {step: [10 / step] for step in losses}
  assert found == {step: {'loss': pytest.approx(np.mean(of_runs)), 'learning_rate': 0.5,
                          'in_full': pytest.approx(np.mean(of_runs) / 10)}
                   for step, of_runs in losses.items()}


def values(step):
  """Return what a run of the session fetches at the end of a step."""
  return tf.train.SessionRunValues({'step': step, 'loss': 1.0, 'metrics': {}}, None, None)


def test_numbers_are_on_the_disk_at_once_and_once_for_a_step(tmp_path):
  """Where an overflow makes a step void, its number comes again."""
  hook = summary_utils.SummaryHook(dict.fromkeys(['step', 'loss', 'metrics', 'complete'], ''),
                                   str(tmp_path), 2)
  for step, found in ((0, [0]), (0, [0]), (1, [0, 1]), (2, [0, 1, 2]), (2, [0, 1, 2]),
                      (3, [0, 1, 2])):
    hook.after_run(None, values(step))
    (path,) = tmp_path.glob('events.out.tfevents.*')
    assert [event.step for event in tf.train.summary_iterator(str(path))
            if event.summary.value] == found


def test_what_other_hooks_have_written_after_the_last_step_is_on_the_disk_in_the_end(tmp_path):
  hook = summary_utils.SummaryHook(dict.fromkeys(['step', 'loss', 'metrics', 'complete'], ''),
                                   str(tmp_path), 2)
  hook.after_run(None, values(2))
  tf.summary.FileWriterCache.get(str(tmp_path)).add_summary(tf.Summary(), 5)
  hook.end(None)
  (path,) = tmp_path.glob('events.out.tfevents.*')
  assert [event.step for event in tf.train.summary_iterator(str(path))][-2:] == [2, 5]
