"""Turns of real processes: who runs when, and what is left of them."""
import importlib
import subprocess
import sys
import time

import psutil
import pytest

from tests import launch

# Writes when it works into the file 'log', and prints the speeds 1, 2, 3, ...
_WORK = """
import itertools, sys, time
name, log, last = sys.argv[1:]
for number in itertools.count(1):
  for _ in range(5):
    time.sleep(0.02)
    open(log, 'a').write(f'{name} {time.monotonic()}\\n')
  print(f'{number} images/s', flush=True)
  if number == int(last):
    sys.exit('out of images')
"""


@pytest.fixture
def turns(monkeypatch):
  """The module; at the end nothing that it has started may be left running."""
  monkeypatch.syspath_prepend(str(launch.ROOT / 'scripts'))
  before = psutil.Process().children(recursive=True)  # Such as multiprocessing's.
  yield importlib.import_module('turns')
  assert psutil.Process().children(recursive=True) == before


def work(name, log, last=-1):
  """Return the command of a worker whose shell is another process; it ends after `last`."""
  words = [sys.executable, '-c', _WORK, name, str(log), str(last)]
  return ['sh', '-c', '"$@"; exit', 'sh', *words]


def test_one_works_at_a_time_in_the_directory_of_the_caller(turns, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  speeds = turns.take({name: work(name, 'log') for name in 'ab'}, rounds=3, intervals=2)
  for found in speeds.values():
    assert len(found) == 3
    # The first interval and the one of each pause do not count; a median lies between two.
    assert found[0] >= 3.5
    assert found == sorted(found)
    assert all(later - earlier >= 3 for earlier, later in zip(found, found[1:]))
  workers = [line.split()[0] for line in (tmp_path / 'log').read_text().splitlines()]
  turns_taken = 1 + sum(one != other for one, other in zip(workers, workers[1:]))
  assert turns_taken <= 2 + 2 * 3


def test_the_order_is_drawn_for_each_round(turns, tmp_path, monkeypatch):
  orders = iter(['ab', 'ba'])
  monkeypatch.setattr(turns.random, 'sample', lambda runs, count: [
      (name, dict(runs)[name]) for name in next(orders)])
  turns.take({name: work(name, tmp_path / 'log') for name in 'ab'}, rounds=2, intervals=1)
  workers = [line.split()[0] for line in (tmp_path / 'log').read_text().splitlines()]
  assert workers[-1] == 'a'


def test_nothing_is_left_running(turns, tmp_path):
  turns.take({'a': work('a', tmp_path / 'log')}, rounds=1, intervals=1)
  written = (tmp_path / 'log').read_text()
  time.sleep(0.1)
  assert (tmp_path / 'log').read_text() == written


@pytest.mark.parametrize('last', [1, 3])
def test_a_command_that_ends_says_why(turns, tmp_path, last):
  with pytest.raises(RuntimeError, match='(?s)ended:.*out of images'):
    turns.take({'a': work('a', tmp_path / 'log'), 'b': work('b', tmp_path / 'log', last)},
               rounds=2, intervals=2)


def test_the_remedy_where_psutil_is_missing():
  script = 'import sys; sys.modules["psutil"] = None; import turns'
  done = subprocess.run([sys.executable, '-c', script], cwd=launch.ROOT / 'scripts',
                        capture_output=True, text=True, check=False)
  assert done.returncode == 1
  assert "pip install -e '.[benchmark]'" in done.stderr
