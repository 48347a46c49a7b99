"""Measures commands that take turns, for machines whose speed changes from minute to minute.

Every command is started once, and is suspended in memory while another has its turn. So the speeds
that are compared are measured only seconds apart.
"""
import contextlib
import queue
import random
import re
import statistics
import subprocess
import threading

try:
  import psutil
except ImportError:
  raise SystemExit("this script needs psutil: pip install -e '.[benchmark]'") from None

# A flag with which the training script does not end by itself.
ENDLESS = '--stop_at_step=1000000'


def take(commands, rounds, intervals):
  """Return the speed of each command in each round.

  Args:
    commands: dict from names to lists of words; each command prints lines with '12.3 images/s',
      one for each interval of its work, and does not end by itself.
    rounds: int, how many turns each has, in a new random order in each round.
    intervals: int, how many intervals a turn has; their median is its speed.

  Returns:
    Dict from the names to lists of `rounds` floats, images/s.

  Raises:
    RuntimeError: a command ended; the message holds the end of its output.
  """
  speeds = {name: [] for name in commands}
  with contextlib.ExitStack() as stack:
    runs = [(name, stack.enter_context(_Run(command))) for name, command in commands.items()]
    for _ in range(rounds):
      for name, run in random.sample(runs, len(runs)):
        speeds[name].append(statistics.median(run.take_turn(intervals)))
  return speeds


class _Run:
  """A context in which a command runs, suspended except during its turns."""

  def __init__(self, command):
    self._command = command
    self._speeds = queue.SimpleQueue()
    self._log = []

  def __enter__(self):
    self._process = psutil.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 text=True)
    threading.Thread(target=self._read, daemon=True).start()
    try:
      self._next()  # Its first interval is slow.
    except BaseException:
      self.__exit__()
      raise
    self._signal('suspend')
    return self

  def __exit__(self, *error):
    self._signal('kill')
    self._process.wait()

  def take_turn(self, intervals):
    """Resume the command for some intervals; return the images/s of each."""
    while not self._speeds.empty():
      self._next()
    self._signal('resume')
    self._next()  # The command was suspended during this one.
    found = [self._next() for _ in range(intervals)]
    self._signal('suspend')
    return found

  def _read(self):
    for line in self._process.stdout:
      self._log.append(line)
      for speed in re.findall(r'([\d.,]+) images/s', line):
        self._speeds.put(float(speed.replace(',', '')))
    self._speeds.put(None)

  def _next(self):
    speed = self._speeds.get()
    if speed is None:
      raise RuntimeError(f'{self._command[-1]} ended:\n{"".join(self._log)[-2000:]}')
    return speed

  def _signal(self, what):
    """Call `what`, 'suspend', 'resume' or 'kill', on the process and all its descendants."""
    with contextlib.suppress(psutil.NoSuchProcess):
      for process in [self._process, *self._process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
          getattr(process, what)()
