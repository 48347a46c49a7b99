"""The watch in one process; tests/test_train_image_classifiers_stops.py has several."""
import os
import re
import signal
import socket
import subprocess
import sys
import time
import types

import pytest

from images.utils import stall_utils
from tests import launch

STALL = '''
import sys, time
from absl import app
from images.utils import stall_utils
from images.utils.tf1 import tf

def main(argv):
  stall_utils.start(2)
  with tf.Graph().as_default():
    one = tf.constant(1)
    with stall_utils.watched(lambda: 'all is saved'), \\
        tf.train.MonitoredSession(hooks=[stall_utils.MilestoneHook()]) as session:
      for pause in map(float, argv[1:]):
        session.run(one)
        until = time.monotonic() + pause
        print('waits', flush=True)
        while time.monotonic() < until:
          time.sleep(0.05)
  time.sleep(3)
  print('ended')

app.run(main)
'''


@pytest.mark.parametrize(('pauses', 'code'), [(['1'] * 4, 0), (['0', '60'], 70)])
def test_a_process_without_a_step_for_two_seconds_ends(pauses, code):
  """As long as it waits: the pause after that is no stall."""
  started = time.monotonic()
  done = subprocess.run([sys.executable, '-c', STALL, *pauses], cwd=launch.ROOT, text=True,
                        capture_output=True, timeout=120, check=False)
  assert done.returncode == code, done.stderr
  if code:
    assert time.monotonic() - started < 40
    assert 'no progress for 2 s, the limit of --stall_limit_secs: ' in done.stderr
    assert done.stderr.endswith('; all is saved\n')
  else:
    assert done.stdout == 'waits\n' * len(pauses) + 'ended\n'


def test_a_process_that_stood_still_goes_on():
  """As after Ctrl-Z and fg: for three seconds, of a pause of four, it could not move."""
  with subprocess.Popen([sys.executable, '-c', STALL, '4', '1', '1'], cwd=launch.ROOT, text=True,
                        stdout=subprocess.PIPE) as process:
    assert process.stdout.readline() == 'waits\n'
    process.send_signal(signal.SIGSTOP)
    time.sleep(3)
    process.send_signal(signal.SIGCONT)
    assert process.communicate(timeout=60)[0] == 'waits\nwaits\nended\n'
  assert process.returncode == 0


@pytest.fixture
def watch(monkeypatch):
  """The watch of this process, without its thread."""
  watch = stall_utils._Watch()
  monkeypatch.setattr(stall_utils, '_watch', watch)
  with monkeypatch.context() as patch:
    patch.setattr(stall_utils.threading, 'Thread', lambda **_: types.SimpleNamespace(
        start=lambda: None))
    watch.start(0.1, rank=0)
  return watch


def test_a_rank_that_still_moves_is_waited_for(watch, monkeypatch):
  """The first two answers come from a rank that moved less than the limit ago."""
  answers = [{0: (5, 9.0), 1: (4, 0.05)}, {0: (5, 9.0), 1: (4, 0.09)}, {0: (5, 9.0), 1: (4, 0.2)}]
  asked, ended = iter(answers), []
  monkeypatch.setattr(watch._roll_call, 'ask', lambda: next(asked))

  def end(states, reason):
    ended.append(states)
    monkeypatch.setattr(stall_utils, '_watch', stall_utils._Watch())

  monkeypatch.setattr(watch, '_end', end)
  with stall_utils.watched():
    watch._run()
  assert ended == answers[2:]


def test_a_machine_that_is_out_of_reach_ends_the_wait_sooner(watch, monkeypatch):
  """Where it is so for a while; it may come back, and does not count before the rank waits."""
  watch._limit = 0.4  # So it may be out of reach for a quarter.
  answers = iter([True, False, True, True])
  monkeypatch.setattr(watch._roll_call, 'has_lost', lambda: next(answers))
  assert not watch._has_lost()
  with stall_utils.watched():
    assert not watch._has_lost()
    found = []
    for _ in range(4):
      time.sleep(0.11)
      found.append(watch._has_lost())
  assert found == [False, False, False, True]
  assert not watch._has_lost()


def test_what_a_process_stood_still_is_no_time_without_a_machine(watch, monkeypatch):
  """A second of sleep that takes five."""
  watch._moved = watch._lost_since = 100.0
  times = iter([110.0, 115.0])
  monkeypatch.setattr(stall_utils.time, 'monotonic', lambda: next(times))
  monkeypatch.setattr(stall_utils.time, 'sleep', lambda _: None)
  watch._sleep(1.0)
  assert (watch._moved, watch._lost_since) == (104.0, 104.0)


def test_nobody_is_out_of_reach_who_answers(watch, monkeypatch):
  """As where the name of a machine cannot be found for a while."""
  watch._limit, watch._roll_call.places = 60, [watch._roll_call.place] * 2
  answers = [{0: (5, 9.0), 1: (5, 9.0)}, {0: (5, 9.0)}]
  asked, ended = iter(answers), []
  monkeypatch.setattr(watch, '_has_lost', lambda: True)
  monkeypatch.setattr(watch._roll_call, 'ask', lambda: next(asked))
  monkeypatch.setattr(stall_utils.time, 'sleep', lambda _: None)

  def end(states, reason):
    ended.append((states, reason))
    monkeypatch.setattr(stall_utils, '_watch', stall_utils._Watch())

  monkeypatch.setattr(watch, '_end', end)
  watch._run()
  assert ended == [(answers[1], 'for 0 s, and a machine is out of reach')]


def fail():
  raise OSError('no route to host')


@pytest.mark.parametrize(('describe', 'reason'), [
    (fail, "OSError('no route to host')"), (lambda: time.sleep(60), 'no answer')])
def test_a_file_system_that_fails_does_not_hide_what_has_stalled(
    watch, monkeypatch, caplog, describe, reason):
  """As where it is on the machine that was cut off."""
  monkeypatch.setattr(stall_utils, '_LINGER_SECS', 0)
  monkeypatch.setattr(stall_utils, '_LOOK_SECS', 0.2)
  exits = []
  monkeypatch.setattr(stall_utils.os, '_exit', exits.append)
  with stall_utils.watched(describe):
    watch._end({0: (1, 9.0)}, 'for 9 s')
  assert exits == [stall_utils.EXIT_STALLED]
  assert re.search(rf'no progress .*; cannot tell what is saved \({re.escape(reason)}\)',
                   caplog.text)


def test_only_what_waits_is_watched(watch):
  def stalled():
    time.sleep(0.15)
    return watch._stalled()

  assert not stalled()
  with stall_utils.watched():
    with stall_utils.watched():
      assert stalled()
    assert not watch._stalled()  # It has just come out of the inner one.
    assert stalled()
    stall_utils.heartbeat()
    assert not watch._stalled()
  assert not stalled()


def test_all_ranks_pass_the_same_places(watch):
  """Those that a rank passes by itself, as batches of an evaluation, do not count."""
  come = [watch.state()[0]]
  with stall_utils.watched():
    come.append(watch.state()[0])
  stall_utils.heartbeat()
  come.append(watch.state()[0])
  assert come == [0, 1, 2]


def test_what_fails_while_a_process_is_ended_is_not_the_reason(watch, monkeypatch):
  """Ranks that have waited too long end one after the other."""
  codes = []
  monkeypatch.setattr(stall_utils.os, '_exit', codes.append)
  monkeypatch.setattr(stall_utils, '_LINGER_SECS', 0)
  watch.exit()
  assert (codes, watch.describe()) == ([], 'its work is done')
  watch._end({0: (1, 9.0)}, 'for 9 s')
  watch.exit()
  assert codes == [stall_utils.EXIT_STALLED] * 2


def test_a_rank_that_moves_before_its_end_goes_on(watch, monkeypatch, caplog):
  """As when the files that all have waited for are there again, and it may come to its end."""
  codes = []
  monkeypatch.setattr(stall_utils.os, '_exit', codes.append)
  monkeypatch.setattr(stall_utils.time, 'sleep', lambda seconds: stall_utils.heartbeat())
  watch._end({0: (1, 9.0)}, 'for 9 s')
  watch.exit()
  assert codes == []
  assert caplog.messages[1:] == [
      f'rank 0 on {socket.gethostname()} makes progress again, and continues']


def test_a_rank_that_fails_has_come_no_further(watch):
  with stall_utils.watched():
    come = watch.state()[0]
    with pytest.raises(OSError, match='no route'), stall_utils.watched():
      fail()
    assert watch.state()[0] == come + 1  # It has entered, and not left.


@pytest.mark.parametrize(('places', 'states', 'words'), [
    ([], {}, 'other ranks have not started'),
    (['here', 'there'], {0: (5, 9.0), 1: (5, 9.0)},
     'all ranks wait within the same step, for images or for each other'),
    (['here', 'there'], {0: (5, 9.0)}, 'rank 1 on there does not answer')])
def test_what_is_said_at_the_end(watch, monkeypatch, caplog, places, states, words):
  codes = []
  monkeypatch.setattr(os, '_exit', codes.append)
  monkeypatch.setattr(stall_utils, '_LINGER_SECS', 0)
  watch._roll_call.places = [watch._roll_call.place._replace(host=host) for host in places]
  with stall_utils.watched(lambda: 'all is saved'):
    watch._end(states, 'for 9 s')
  assert codes == [70]
  assert caplog.messages == [f'rank 0 on {socket.gethostname()}: no progress for 9 s: '
                             f'{words}; all is saved']
