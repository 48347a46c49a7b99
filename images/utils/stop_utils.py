"""Ends training on all ranks together at a signal."""
import signal
import sys

from absl import logging

from images.utils import cluster_utils
from images.utils.tf1 import tf

EXIT_STOPPED = 75  # As in sysexits.h: a failure that passes when one tries again.


def leave_at_signal():
  """Let SIGTERM end this process at once, with EXIT_STOPPED, while there is nothing to save.

  For the time of training StopAtSignalHook takes the signal over; call this again after it.
  """
  def leave(*_):
    logging.warning('rank %d got SIGTERM while it does not train: nothing is to be saved, the '
                    'same command goes on', cluster_utils.rank())
    sys.exit(EXIT_STOPPED)

  signal.signal(signal.SIGTERM, leave)


class StopAtSignalHook(tf.train.SessionRunHook):
  """Ends training when any rank has got SIGTERM, on all ranks after the same step.

  Whether any rank was asked to is exchanged with the metrics of every step. A second signal
  ends the process at once. Once training has ended signals are ignored, while the last
  checkpoint is saved.

  Attributes:
    stopped: whether training has ended for a signal.
  """

  def __init__(self, tensors):
    """Watch `tensors`: 'stop_request', a placeholder for this rank's own request, 0 or 1;
    'stop', whether there is one on any rank; 'complete', whether the run ends a step."""
    self._request = tensors['stop_request']
    self._fetches = {'stop': tensors['stop'], 'complete': tensors['complete']}
    self._requested = self._agreed = self.stopped = False

  def begin(self):
    signal.signal(signal.SIGTERM, self._on_signal)

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
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
