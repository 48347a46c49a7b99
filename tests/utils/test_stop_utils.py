"""The hooks in one process; tests/test_train_image_classifiers_stops.py has several."""
import os
import signal

import pytest

from images.utils import stop_utils
from images.utils.tf1 import tf


@pytest.fixture(autouse=True)
def _graph():
  with tf.Graph().as_default():
    yield


def tensors(*, complete=True):
  """Return what StopAtSignalHook watches, for one rank."""
  request = tf.placeholder_with_default(0.0, [])
  return {'stop_request': request, 'stop': request > 0, 'complete': tf.constant(complete)}


def run(*hooks, signal_at, number=signal.SIGTERM, steps=5):
  """Make up to `steps` runs, with a signal before one of them; return how many were made."""
  x = tf.constant(1.0)
  with tf.train.MonitoredSession(hooks=hooks) as session:
    for made in range(steps):
      if session.should_stop():
        return made
      if made == signal_at:
        os.kill(os.getpid(), number)
      session.run(x)
  return steps


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_training_ends_after_the_run_that_follows_the_signal(number):
  hook = stop_utils.StopAtSignalHook(tensors())
  assert run(hook, signal_at=2, number=number) == 3
  assert hook.stopped
  # What a launcher sends to the others once one rank has ended.
  assert signal.getsignal(number) == signal.SIG_IGN


def test_the_same_signal_once_more_ends_the_process():
  stop_utils.StopAtSignalHook(tensors()).begin()
  os.kill(os.getpid(), signal.SIGTERM)
  assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_ctrl_c_interrupts_again_after_training():
  run(stop_utils.StopAtSignalHook(tensors()), signal_at=None)
  stop_utils.release()
  with pytest.raises(KeyboardInterrupt):
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_interrupts_again_after_an_error():
  @stop_utils.released_at_an_error()
  def train():
    stop_utils.StopAtSignalHook(tensors()).begin()
    raise ZeroDivisionError

  with pytest.raises(ZeroDivisionError):
    train()
  with pytest.raises(KeyboardInterrupt):
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_that_is_ignored_stays_so():
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  hook = stop_utils.StopAtSignalHook(tensors())
  assert run(hook, signal_at=2, number=signal.SIGINT) == 5
  assert not hook.stopped
  stop_utils.release()
  assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_training_without_a_signal():
  hook = stop_utils.StopAtSignalHook(tensors())
  assert run(hook, signal_at=None) == 5
  assert not hook.stopped


def test_a_signal_while_the_last_checkpoint_is_saved_is_ignored():
  class Save(tf.train.SessionRunHook):
    saved = False

    def end(self, session):
      os.kill(os.getpid(), signal.SIGTERM)
      self.saved = True

  hook, save = stop_utils.StopAtSignalHook(tensors()), Save()
  assert run(hook, save, signal_at=None) == 5
  assert save.saved
  assert not hook.stopped


def test_a_step_of_several_micro_batches_is_ended_first():
  """Every third run ends a step; the signal comes before the second run."""
  count = tf.get_local_variable('count', initializer=0)
  hook = stop_utils.StopAtSignalHook(
      {**tensors(), 'complete': tf.equal(count.assign_add(1) % 3, 0)})
  assert run(hook, signal_at=1, steps=9) == 3


def test_the_request_of_another_rank():
  hook = stop_utils.StopAtSignalHook({**tensors(), 'stop': tf.constant(True)})
  assert run(hook, signal_at=None) == 1
