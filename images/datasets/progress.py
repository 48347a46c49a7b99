"""Shows the progress of a long task, at intervals."""
import sys
import time


class Progress:
  """Prints '<task>: <done> of <total>' to stderr at intervals, and always the final count."""

  def __init__(self, task, total, *, unit=''):
    """Start the clock.

    Args:
      task: string.
      total: int, or None if it is unknown.
      unit: string printed after the numbers.
    """
    self._task, self._total, self._unit = task, total, unit
    # On a terminal a report overwrites the previous one; in a log file it is a line of its own.
    self._on_terminal = sys.stderr.isatty()
    self._interval = 0.2 if self._on_terminal else 10.0
    self._next = time.monotonic() + self._interval

  def show(self, done):
    """Print `done` if the interval since the last print has passed."""
    now = time.monotonic()
    if now >= self._next:
      self._next = now + self._interval
      self._print(done, end='\r' if self._on_terminal else '\n')

  def finish(self, done):
    """Print `done`, the final count."""
    self._print(done, end='\n')

  def _print(self, done, *, end):
    total = '' if self._total is None else f' of {self._total:,}'
    print(f'{self._task}: {done:,}{total}{self._unit}', end=end, file=sys.stderr, flush=True)
