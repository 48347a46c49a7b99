"""Ends a process that waits too long, for others or in a step, and names the rank that hangs.

A rank that is frozen, or whose machine is cut off, leaves the others waiting within a collective
operation that nothing interrupts, so they end without clean-up; what is saved is whole. A machine
that is out of reach is not waited for as long as a rank that may just be slow. Horovod's own
check is made by rank 0 and of operations that have not begun: it sees neither a rank 0 that hangs
nor what hangs within an operation.
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

# A rank goes on answering for a while, lest the others, which find out at about the same time,
# take it for the one that hangs.
_LINGER_SECS = 4.0

# After how many seconds without progress to look whether all machines can be reached, and for how
# many more one has to be out of reach.
_LOST_SECS = 20.0

# For how long to look at what is saved: the file system may hang as well.
_LOOK_SECS = 5.0


class _Watch:
  """How far this process has come, and a thread that ends it where it waits too long.

  Attributes:
    describe: while the process waits, a function that says in words what is safe; else None.
  """

  def __init__(self):
    self.describe = None
    self._reached, self._moved = 0, time.monotonic()
    self._lost_since = self._ending = None  # Times; the latter of the last move before the end.

  def pass_milestone(self):
    self._reached += 1
    self.heartbeat()

  def heartbeat(self):
    self._moved = time.monotonic()

  def exit(self):
    """Watch the end of the process, unless it is being ended."""
    if self._ending == self._moved:  # What fails as another rank ends is not the reason.
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
        # A rank that still moves is waited for: it may have more to do, or a slower machine.
        if self._stalled() and all(age > self._limit for _, age in states.values()):
          self._end(states, f'for {self._limit:g} s, the limit of --stall_limit_secs')
      elif self._has_lost():
        states, waited = self._roll_call.ask(), time.monotonic() - self._moved
        if len(states) < len(self._roll_call.places):
          self._end(states, f'for {waited:.0f} s, and a machine is out of reach')

  def _sleep(self, seconds):
    """Sleep; what it takes longer, as this process stood still, is not a wait for others."""
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
    """Return whether, while this process waits, a machine has been out of reach for long."""
    limit = min(_LOST_SECS, self._limit / 4)
    if not self._stalled(limit) or not self._roll_call.has_lost():
      self._lost_since = None
      return False
    self._lost_since = self._lost_since or time.monotonic()
    return time.monotonic() - self._lost_since > limit

  def _end(self, states, reason):
    """End the process, unless it moves after all while it answers the others."""
    self._ending = self._moved
    try:
      late = self._roll_call.late(states) or (
          'all ranks wait within the same step, for images or others' if self._roll_call.places
          else 'other ranks have not come to the start')
      logging.error('rank %d on %s: nothing has moved %s: %s; %s', self._rank,
                    self._roll_call.place.host, reason, late, self._described())
      sys.stderr.flush()
      time.sleep(_LINGER_SECS)
    finally:
      if self._ending == self._moved:
        os._exit(EXIT_STALLED)
      else:
        logging.warning('rank %d on %s moves again, and goes on', self._rank,
                        self._roll_call.place.host)

  def _described(self):
    """Return what is safe, or why that cannot be told: nothing may hide what has stalled."""
    words = ['what is saved could not be looked at (no answer)']

    def look():
      try:
        words.append(self.describe())
      except Exception as error:
        words.append(f'what is saved could not be looked at ({error!r})')

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(_LOOK_SECS)
    return words[-1]


_watch = _Watch()  # That of this process; it ends nothing before start().


def start(limit_secs, rank=0):
  """Watch this process from now on; all ranks do so at the same place.

  Args:
    limit_secs: number, seconds that it may wait while no rank moves.
    rank: int, its number.

  Returns:
    The RollCall of the ranks, which has yet to meet() them.
  """
  global _watch
  _watch = _Watch()
  return _watch.start(limit_secs, rank)


def watch_exit():
  """Watch the end of the process too, where Horovod waits for all ranks; call once it is there.

  What is registered last is called first.
  """
  atexit.register(lambda: _watch.exit())


@contextlib.contextmanager
def watched(describe=lambda: 'the same command goes on from the newest checkpoint, if any'):
  """Watch what the context holds; all ranks enter and leave it at the same places.

  A rank that an exception takes out of it has come no further than the others.

  Args:
    describe: function that says in words what is safe if the process is ended.
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
  """Tell the watch that this rank has come to a place at which each rank comes by."""
  _watch.pass_milestone()


def heartbeat():
  """Tell the watch, and the other ranks that wait for this one, that it gets on with its work."""
  _watch.heartbeat()


class MilestoneHook(tf.train.SessionRunHook):
  """Tells the watch of the beginning and the end of each run of a session."""

  def before_run(self, run_context):
    _watch.pass_milestone()

  def after_run(self, run_context, run_values):
    _watch.pass_milestone()
