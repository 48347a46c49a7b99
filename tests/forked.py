"""Runs train_image_classifiers.py in many processes, without waiting for its imports each time.

A process that has imported TensorFlow and has started nothing of it forks a child for each
command line. The child runs the script as `python train_image_classifiers.py` does, and ends
as that does.
"""
import gc
import json
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SECONDS = 240  # After them SIGALRM ends a child.


class Processes:
  """Processes of the script, while the context lasts."""

  def __enter__(self):
    # oneDNN's allocator waits ten seconds before it says that memory has run out.
    self._parent = subprocess.Popen(
        [sys.executable, '-m', 'tests.forked'], cwd=ROOT, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, env={**os.environ, 'TF_ENABLE_ONEDNN_OPTS': '0'})
    return self

  def __exit__(self, *_):
    self._parent.communicate()

  def run(self, *arguments):
    """Run the script with command-line arguments; return (exit code, what it printed)."""
    with tempfile.NamedTemporaryFile('r') as output:
      self._parent.stdin.write(json.dumps([output.name, *arguments]) + '\n')
      self._parent.stdin.flush()
      code = int(self._parent.stdout.readline())
      return code, output.read()


def _fork_for_each_line():
  """Fork for each line that comes; return whether this is a child, its arguments in sys.argv."""
  for line in sys.stdin:
    output, *arguments = json.loads(line)
    child = os.fork()
    if child == 0:
      signal.alarm(SECONDS)
      for stream in (sys.stdout, sys.stderr):
        os.dup2(os.open(output, os.O_WRONLY | os.O_APPEND), stream.fileno())
      sys.argv = [str(ROOT / 'train_image_classifiers.py'), *arguments]
      return True
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
  return False


if __name__ == '__main__':
  import train_image_classifiers  # noqa: F401 - this takes the seconds
  gc.freeze()  # A child does not look through what all share, its end is three times as fast.
  if _fork_for_each_line():
    runpy.run_path(sys.argv[0], run_name='__main__')
