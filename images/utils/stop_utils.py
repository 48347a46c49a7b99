"""Ends training on all ranks together: at a signal, and when nothing moves any more."""
import os
import signal
import sys
import threading
import time

from absl import logging

from images.utils import cluster_utils, roll_call_utils
from images.utils.tf1 import tf

# Exit codes as in sysexits.h: 75 is a failure that passes when one tries again.
EXIT_STOPPED = 75
EXIT_STALLED = 70


class StopAtSignalHook(tf.train.SessionRunHook):
  """Ends training when any rank has got SIGTERM, on all ranks after the same step.

  Whether any rank was asked to is exchanged with the metrics of every step. A second signal
  ends the process at once, unless training has ended by then.

  Attributes:
    stopped: whether training has ended for a signal.
  """

  def __init__(self, tensors):
    """Watch `tensors`: 'stop_request', a placeholder for this rank's own request, 0 or 1;
    'stop', whether there is one on any rank; 'complete', whether the run ends a step."""
    self._request = tensors['stop_request']
    self._fetches = {'stop': tensors['stop'], 'complete': tensors['complete']}
    self._requested = self._agreed = self.stopped = False
    self._handler = None

  def begin(self):
    self._handler = signal.signal(signal.SIGTERM, self._on_signal)

  def _on_signal(self, number, frame):
    del frame
    self._requested = True
    signal.signal(number, signal.SIG_DFL)
    logging.warning('rank %d got SIGTERM: all ranks stop after this step, with a checkpoint',
                    cluster_utils.rank())

  def before_run(self, run_context):
    return tf.train.SessionRunArgs(self._fetches, {self._request: float(self._requested)})

  def after_run(self, run_context, run_values):
    self._agreed |= bool(run_values.results['stop'])
    if self._agreed and run_values.results['complete']:
      self.stopped = True
      run_context.request_stop()

  def end(self, session):
    # A launcher sends SIGTERM to all ranks once the first has ended, while others still save.
    signal.signal(signal.SIGTERM, signal.SIG_IGN if self.stopped else self._handler)


class StallHook(tf.train.SessionRunHook):
  """Ends the process when no step has ended for a while, and names the rank that hangs.

  A rank whose machine is cut off or frozen leaves the others waiting within a collective
  operation that nothing interrupts, so they end without clean-up; what is saved is whole.
  """

  def __init__(self, limit_secs, describe):
    """End the process after `limit_secs` seconds; describe() says in words what is safe."""
    self._limit = limit_secs
    self._describe = describe
    self._roll_call = self._last = None

  def begin(self):
    self._roll_call = roll_call_utils.RollCall()

  def after_create_session(self, session, coord):
    self._last = time.monotonic()
    threading.Thread(target=self._watch, args=[coord], name='stall', daemon=True).start()

  def before_run(self, run_context):
    self._roll_call.runs += 1
    self._roll_call.running = True

  def after_run(self, run_context, run_values):
    self._roll_call.running = False
    self._last = time.monotonic()

  def _watch(self, coord):
    while not coord.wait_for_stop(min(1.0, self._limit / 10)):
      if time.monotonic() - self._last > self._limit:
        break
    else:
      return
    try:
      late = self._roll_call.late() or 'all ranks wait within the same step, for images or others'
      logging.error('rank %d on %s: no step has ended for %d s, the limit of --stall_limit_secs: '
                    '%s; %s', cluster_utils.rank(), cluster_utils.host(), self._limit, late,
                    self._describe())
      sys.stderr.flush()
    finally:
      os._exit(EXIT_STALLED)
