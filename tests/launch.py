"""Starts ranks: with horovodrun, as a user does, or each by itself, to see what it ends with."""
import importlib.util
import os
import pathlib
import signal
import subprocess
import sys
from concurrent import futures

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


class Ranks:
  """Ranks on this host that no launcher ends or speaks for, while the context lasts.

  Attributes:
    processes: list of Popen, in the order of the ranks.
  """

  def __init__(self, command, *, size=2):
    """Run `command`, a list of words, on `size` ranks."""
    self._command, self._size = command, size
    self.processes, self._outputs = [], []

  def __enter__(self):
    from horovod.runner import gloo_run
    from horovod.runner.common.util import hosts
    from horovod.runner.http.http_server import RendezvousServer
    self._server = RendezvousServer()
    port = self._server.start()
    slots = hosts.get_host_assignments(hosts.parse_hosts(f'localhost:{self._size}'), self._size)
    self._server.init(slots)
    self._readers = futures.ThreadPoolExecutor(self._size)
    for slot in slots:
      environment = {**gloo_run.create_run_env_vars('127.0.0.1', ['lo'], str(port)),
                     **gloo_run.create_slot_env_vars(slot)}
      process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 text=True, cwd=ROOT, env={**os.environ, **environment})
      self.processes.append(process)
      self._outputs.append(self._readers.submit(process.stdout.read))
    return self

  def __exit__(self, *_):
    for process in self.processes:
      process.kill()
      process.wait()
    self._readers.shutdown()
    self._server.stop()

  def end(self, rank, timeout=60):
    """Return (exit code, what it printed) of a rank, which has to end by itself."""
    try:
      return self.processes[rank].wait(timeout), self._outputs[rank].result(timeout)
    except subprocess.TimeoutExpired:
      self.__exit__()
      return pytest.fail(f'rank {rank} goes on:\n{self._outputs[rank].result()[-3000:]}')
