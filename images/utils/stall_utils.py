"""Ends a process that waits too long, for other ranks or within a step, and names the culprit.

A rank that is frozen, or whose machine is cut off, leaves the others waiting in a collective
operation that nothing can interrupt, so they exit without cleaning up; saved files are complete. A
rank that may just be slow gets more time than a machine that cannot be reached. Horovod's own
stall check runs on rank 0 and looks at operations that have not begun: it misses a rank 0 that
hangs, and whatever hangs within an operation.
"""
import atexit
import contextlib
import os
import sys
import threading
import time

from absl import logging

from images.utils import roll_call_utils
from images.utils.tf1 import tf

EXIT_STALLED = 70  # As in sysexits.h: an internal error.

# A rank that is about to exit keeps answering for a while; otherwise the others, which notice at
# about the same time, would take it for the one that hangs.
_LINGER_SECS = 4.0

# After how many seconds without progress to check that all machines can be reached, and for how
# many more seconds one has to be unreachable.
_LOST_SECS = 20.0

# How long to look for saved checkpoints: the file system may hang as well.
_LOOK_SECS = 5.0


class _Watch:
  """The progress of this process, and a thread that ends it if it waits too long.

  Attributes:
    describe: while the process is watched, a function that says what is saved; else None.
  """

  def __init__(self):
    self.describe = None
    self._reached, self._moved = 0, time.monotonic()
    self._lost_since = self._ending = None  # Times; _ending: the last heartbeat before the end.

  def pass_milestone(self):
    self._reached += 1
    self.heartbeat()

  def heartbeat(self):
    self._moved = time.monotonic()

  def exit(self):
    """Watch the exit of the process, unless the watch itself is ending it."""
    if self._ending == self._moved:  # Errors caused by the exit of another rank are not the reason.
      os._exit(EXIT_STALLED)
    self.pass_milestone()
    self.describe = lambda: 'its work is done'

  def state(self):
    return self._reached, time.monotonic() - self._moved

  def start(self, limit_secs, rank):
    """Start the thread; return the RollCall, which has yet to meet() the other ranks."""
    self._limit, self._rank = limit_secs, rank
    self._roll_call = roll_call_utils.RollCall(rank, self.state)
    threading.Thread(target=self._run, name='stall', daemon=True).start()
    return self._roll_call

  def _run(self):
    while _watch is self:
      self._sleep(min(1.0, self._limit / 10))
      if self._stalled():
        states = self._roll_call.ask()
        # Wait for a rank that still makes progress: it may have more to do, or a slower machine.
        if self._stalled() and all(age > self._limit for _, age in states.values()):
          self._end(states, f'for {self._limit:g} s, the limit of --stall_limit_secs')
      elif self._has_lost():
        states, waited = self._roll_call.ask(), time.monotonic() - self._moved
        if len(states) < len(self._roll_call.places):
          self._end(states, f'for {waited:.0f} s, and a machine is out of reach')

  def _sleep(self, seconds):
    """Sleep; do not count time in which this process itself was suspended."""
    begun = time.monotonic()
    time.sleep(seconds)
    stood_still = max(0, time.monotonic() - begun - seconds)
    self._moved += stood_still
    if self._lost_since is not None:
      self._lost_since += stood_still

  def _stalled(self, limit=None):
    waited = time.monotonic() - self._moved
    return self.describe is not None and waited > (self._limit if limit is None else limit)

  def _has_lost(self):
    """Return whether this process waits and a machine has been unreachable for too long."""
    limit = min(_LOST_SECS, self._limit / 4)
    if not self._stalled(limit) or not self._roll_call.has_lost():
      self._lost_since = None
      return False
    self._lost_since = self._lost_since or time.monotonic()
    return time.monotonic() - self._lost_since > limit

  def _end(self, states, reason):
    """End the process, unless it makes progress after all while it lingers."""
    self._ending = self._moved
    try:
      late = self._roll_call.late(states) or (
          'all ranks wait within the same step, for images or for each other'
          if self._roll_call.places else 'other ranks have not started')
      logging.error('rank %d on %s: no progress %s: %s; %s', self._rank,
                    self._roll_call.place.host, reason, late, self._described())
      sys.stderr.flush()
      time.sleep(_LINGER_SECS)
    finally:
      if self._ending == self._moved:
        os._exit(EXIT_STALLED)
      else:
        logging.warning('rank %d on %s makes progress again, and continues', self._rank,
                        self._roll_call.place.host)

  def _described(self):
    """Return what describe() says, or why it says nothing: no error may hide the stall."""
    words = ['cannot tell what is saved (no answer)']

    def look():
      try:
        words.append(self.describe())
      except Exception as error:
        words.append(f'cannot tell what is saved ({error!r})')

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(_LOOK_SECS)
    return words[-1]


_watch = _Watch()  # That of this process; it ends nothing before start().


def start(limit_secs, rank=0):
  """Watch this process from now on; every rank calls this at the same place.

  Args:
    limit_secs: number, seconds that the process may wait while no rank makes progress.
    rank: int, its number.

  Returns:
    The RollCall of the ranks, which has yet to meet() them.
  """
  global _watch
  _watch = _Watch()
  return _watch.start(limit_secs, rank)


def watch_exit():
  """Also watch the exit of the process, when Horovod waits for all ranks.

  Call it after hvd.init(): exit handlers run in reverse order of their registration.
  """
  atexit.register(lambda: _watch.exit())


@contextlib.contextmanager
def watched(describe=lambda: 'the same command resumes from the newest checkpoint, if any'):
  """Watch the code in the context, which all ranks enter and leave at the same places.

  Leaving it by an exception does not count as a milestone.

  Args:
    describe: function that says what is saved, for the message if the process is ended.
  """
  outer = _watch.describe
  _watch.pass_milestone()
  _watch.describe = describe
  try:
    yield
    _watch.pass_milestone()
  finally:
    _watch.describe = outer


def pass_milestone():
  """Record a milestone that every rank passes."""
  _watch.pass_milestone()


def heartbeat():
  """Record that this rank is making progress, for the watch and for the ranks waiting for it."""
  _watch.heartbeat()


class MilestoneHook(tf.train.SessionRunHook):
  """Makes the beginning and the end of each run of a session a milestone."""

  def before_run(self, run_context):
    _watch.pass_milestone()

  def after_run(self, run_context, run_values):
    _watch.pass_milestone()
