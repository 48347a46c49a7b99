"""Ends training on all ranks together at a signal."""
import contextlib
import signal

from absl import logging

from images.utils import cluster_utils, process_utils
from images.utils.tf1 import tf

# What a scheduler sends, and what Ctrl-C does.
_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_before = {}  # The handlers that were there before training.


class StopAtSignalHook(tf.train.SessionRunHook):
  """Ends training on all ranks after the same step once any rank has got SIGTERM or SIGINT.

  Whether any rank has got one is exchanged with the metrics of every step. The same signal again
  ends the process at once if the first has been handled, which happens when the call of TensorFlow
  that it came in has returned. Once training has ended, signals are ignored while the last
  checkpoint is saved; call release() after that. SIGINT stays ignored if it was ignored before, as
  in what a script starts in the background.

  Attributes:
    stopped: whether training has ended because of a signal.
  """

  def __init__(self, tensors):
    """Watch the entries of `tensors`, the dict of progress_utils.

    Args:
      tensors: dict with 'stop_request', a placeholder for this rank's own request, 0 or 1; 'stop',
        whether any rank has made one; 'complete', whether this run of the session ends a step.
    """
    self._request = tensors['stop_request']
    self._fetches = {'stop': tensors['stop'], 'complete': tensors['complete']}
    self._requested = self._agreed = self.stopped = False

  def begin(self):
    for number in _SIGNALS:
      _before[number] = signal.getsignal(number)
      if number == signal.SIGTERM or _before[number] != signal.SIG_IGN:
        signal.signal(number, self._on_signal)

  def _on_signal(self, number, frame):
    del frame
    self._requested = True
    signal.signal(number, signal.SIG_DFL)
    logging.warning('rank %d got %s: all ranks stop after this step, with a checkpoint',
                    cluster_utils.rank(), signal.Signals(number).name)

  def before_run(self, run_context):
    return tf.train.SessionRunArgs(self._fetches, {self._request: float(self._requested)})

  def after_run(self, run_context, run_values):
    self._agreed |= bool(run_values.results['stop'])
    if self._agreed and run_values.results['complete']:
      self.stopped = True
      run_context.request_stop()

  def end(self, session):
    # A launcher sends SIGTERM to all ranks once the first has ended, while others still save.
    for number in _SIGNALS:
      signal.signal(number, signal.SIG_IGN)


def release():
  """Restore SIGINT's handler from before training, and let SIGTERM end the process at once."""
  process_utils.leave_at_signal()
  signal.signal(signal.SIGINT, _before.get(signal.SIGINT, signal.default_int_handler))


@contextlib.contextmanager
def released_at_an_error():
  """Call release() if an error leaves the context, as no further step could react to a signal."""
  try:
    yield
  except BaseException:
    release()
    raise
