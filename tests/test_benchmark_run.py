"""What surrounds a step is measured in real runs, on a small network; how much is not for tests."""
import importlib
import pathlib
import re
import subprocess
import sys
import types

import pytest

from images.utils.tf1 import tf
from tests import launch
from tests.datasets import make_data


def run(*words, **options):
  return subprocess.run(
      [sys.executable, str(launch.ROOT / 'scripts' / 'benchmark_run.py'), *words],
      capture_output=True, text=True, timeout=240, check=False, **options)


@pytest.mark.parametrize(('what', 'unit', 'other'), [
    ('start', 's', 'import tensorflow'), ('memory', 'GB', 'a bare loop'),
    ('input', 'images/s', 'random images')])
def test_a_row_for_the_network(tmp_path, what, unit, other):
  make_data.write_dataset(tmp_path / 'digits', 'digits', {'digits_train.tfrecord': [0, 1] * 4},
                          classes=[str(k) for k in range(10)])
  done = run(f'--what={what}', '--models=lenet', '--batch_size=2', '--steps=4', '--rounds=1',
             '--dataset_name=digits', '--dataset_dir=digits', cwd=tmp_path)
  assert done.returncode == 0, done.stderr
  row = re.fullmatch(r'\| lenet \| ([\d.]+) (\S+) \| ([\d.]+) (\S+) \| (.*) \| ([\d.]+) \| '
                     r'([\d.]+) to ([\d.]+) \|', done.stdout.splitlines()[-1])
  assert row[2] == row[4] == unit
  assert row[5] == other
  assert float(row[6]) == pytest.approx(float(row[1]) / float(row[3]), abs=0.02, rel=0.02)


def test_input_needs_photos():
  done = run('--what=input')
  assert done.returncode == 1
  assert '--what=input needs --dataset_dir' in done.stderr


def test_the_bare_loop_trains_all_weights_in_each_step(monkeypatch):
  monkeypatch.syspath_prepend(str(launch.ROOT / 'scripts'))
  script, runs = importlib.import_module('benchmark_run'), []

  class Session(tf.Session):
    def run(self, fetches):
      runs.append(fetches.name)
      return super().run(fetches)

  monkeypatch.setattr(script, 'FLAGS', types.SimpleNamespace(batch_size=2, steps=3))
  monkeypatch.setattr(tf, 'Session', Session)
  with tf.Graph().as_default() as graph:
    script.bare_loop('lenet')
    weights = len(tf.trainable_variables())
  assert runs == ['init'] + ['Momentum'] * 3
  updates = {op.type for op in graph.get_operation_by_name('Momentum').control_inputs}
  assert weights == len(graph.get_operation_by_name('Momentum').control_inputs) == 8
  assert updates == {'ResourceApplyMomentum'}


def test_photos_and_random_images_are_trained_on_with_one_core_each(monkeypatch):
  monkeypatch.syspath_prepend(str(launch.ROOT / 'scripts'))
  script = importlib.import_module('benchmark_run')
  monkeypatch.setattr(script, 'FLAGS', types.SimpleNamespace(
      batch_size=2, steps=4, rounds=1, dataset_name='flowers', dataset_dir='/photos'))
  monkeypatch.setattr(script.turns, 'take', lambda commands, *_: commands)
  photos, mock, *_ = script.hidden_input('lenet', pathlib.Path('/runs'))
  assert photos[:3] == mock[:3] == [
      'env', 'TF_NUM_INTRAOP_THREADS=1', 'TF_NUM_INTEROP_THREADS=1']
  assert set(photos) - set(mock) == {
      '--output_dir=/runs/photos', '--dataset_name=flowers', '--dataset_dir=/photos',
      '--num_preprocessing_threads=1', '--prefetch_buffer_size=4'}
