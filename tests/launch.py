"""Starts ranks with horovodrun, as a user does."""
import importlib.util
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from images.utils import cluster_utils

ROOT = pathlib.Path(cluster_utils.__file__).parents[2]
BIN = pathlib.Path(sys.executable).parent

HOROVOD = importlib.util.find_spec('horovod') is not None
needs_horovod = pytest.mark.skipif(
    not HOROVOD, reason=f'Horovod is not installed: {cluster_utils.HOROVOD_INSTALL}')


def horovodrun(ranks):
  """Return the start of a command line that runs the rest of it on a number of ranks."""
  return [str(BIN / 'horovodrun'), '--gloo', '-np', str(ranks)]


def run_module(ranks, module, *arguments, timeout=240):
  """Run a module of the tests on a number of ranks; return what they print."""
  process = subprocess.Popen(
      [*horovodrun(ranks), sys.executable, '-m', module, *map(str, arguments)],
      cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
      env={**os.environ, 'PATH': f'{BIN}{os.pathsep}{os.environ["PATH"]}'})
  try:
    output, errors = process.communicate(timeout=timeout)
  except subprocess.TimeoutExpired:
    os.killpg(process.pid, signal.SIGKILL)
    pytest.fail(f'the ranks hang:\n{"".join(process.communicate())[-3000:]}')
  assert process.returncode == 0, errors[-3000:]
  return output
