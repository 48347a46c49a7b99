"""The input benchmark runs, on few photos; how fast is not for tests."""
import importlib
import os
import subprocess
import sys
import types

import pytest

from tests import launch
from tests.datasets import make_data


def run(*words):
  return subprocess.run(
      [sys.executable, str(launch.ROOT / 'scripts' / 'benchmark_input.py'), *words],
      capture_output=True, text=True, timeout=240, check=False)


def test_a_row_for_each_pipeline(tmp_path):
  for number in range(6):
    folder = tmp_path / 'photos' / f'class{number % 2}'
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f'{number}.jpg').write_bytes(make_data.jpeg(40, 50, seed=number))
  convert = launch.ROOT / 'images' / 'datasets' / 'download_and_convert_data.py'
  subprocess.run(
      [sys.executable, str(convert), '--dataset_name=image_folder', f'--dataset_dir={tmp_path}',
       f'--source_dir={tmp_path}/photos', '--validation_fraction=0.34'], capture_output=True,
      check=True)
  done = run('--dataset_name=image_folder', f'--dataset_dir={tmp_path}', '--image_size=24',
             '--batch_size=2', '--seconds=1', '--rounds=1')
  assert done.returncode == 0, done.stderr
  rows = [[cell.strip() for cell in line.split('|')[1:-1]] for line in done.stdout.splitlines()]
  assert [row[0] for row in rows[2:]] == ['pipeline', 'cached', 'limit', 'whole']
  assert all(int(row[1]) > 0 for row in rows[2:])
  assert rows[4][3] == rows[5][4] == '1.00'


@pytest.mark.parametrize(('name', 'reason'), [
    ('digits', '--dataset_name=digits in {folder} has no JPEG: name a data set of photos'),
    ('mnist', '{folder}/mnist_train.tfrecord does not exist'),
    ('mock', 'flag --dataset_name=mock: value should be one of <cifar10|')])
def test_a_data_set_that_will_not_do(tmp_path, name, reason):
  make_data.write_dataset(tmp_path, 'digits', {'digits_train.tfrecord': [0, 1]},
                          classes=['0', '1'])
  done = run(f'--dataset_name={name}', f'--dataset_dir={tmp_path}')
  assert done.returncode == 1
  assert reason.format(folder=tmp_path) in done.stderr
  assert 'EOFError' not in done.stderr


def test_turns_are_in_drawn_order(monkeypatch):
  monkeypatch.syspath_prepend(str(launch.ROOT / 'scripts'))
  script, turns, seen = importlib.import_module('benchmark_input'), [], []
  names = ['pipeline', 'cached', 'limit', 'whole']
  orders = [names, names[::-1]]
  drawn = iter(orders)

  def in_new_process(function, name, _):
    assert function is script.measure
    turns.append(name)
    return len(turns)

  monkeypatch.setattr(script, 'flags', types.SimpleNamespace(
      FLAGS=types.SimpleNamespace(rounds=2)))
  monkeypatch.setattr(script, 'check_photos', lambda: None)
  monkeypatch.setattr(script, 'random', types.SimpleNamespace(
      sample=lambda _, count: next(drawn)[:count]))
  monkeypatch.setattr(script, 'in_new_process', in_new_process)
  monkeypatch.setattr(script, 'print_table', seen.append)
  script.main(['benchmark_input'])
  assert turns == sum(orders, [])
  assert seen == [{'pipeline': [1, 8], 'cached': [2, 7], 'limit': [3, 6], 'whole': [4, 5]}]


def test_a_turn_is_in_a_process_of_its_own(monkeypatch):
  monkeypatch.syspath_prepend(str(launch.ROOT / 'scripts'))
  script = importlib.import_module('benchmark_input')
  processes = {os.getpid(), *(script.in_new_process(os.getpid) for _ in range(2))}
  assert len(processes) == 3
