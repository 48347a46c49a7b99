import os
import pathlib
import subprocess
import sys
import types

import pytest

from images.datasets import conversion, download_and_convert_data, tfrecord
from tests.datasets import make_data

SCRIPT = pathlib.Path(download_and_convert_data.__file__).resolve()


def run(*args, cwd):
  """Run the script as a user does, without PYTHONPATH, from `cwd`."""
  environment = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
  return subprocess.run([sys.executable, SCRIPT, *args], cwd=cwd, env=environment,
                        capture_output=True, text=True, timeout=120)


def test_every_data_set_has_its_name_on_the_command_line():
  assert sorted(conversion.DATASETS) == download_and_convert_data.DATASET_NAMES


@pytest.mark.parametrize(('folder', 'path'), [('records', 'records'), ('~/records', '{}/records')])
def test_convert_from_another_folder(tmp_path, monkeypatch, folder, path):
  monkeypatch.setenv('HOME', str(tmp_path))
  make_data.write_mnist(tmp_path)
  result = run('--dataset_name=mnist', f'--dataset_dir={folder}', '--source_dir=.', cwd=tmp_path)
  assert result.returncode == 0
  assert tfrecord.read_manifest(str(tmp_path / 'records'))['dataset'] == 'mnist'
  assert 'mnist_train.tfrecord: 7 records' in result.stdout
  assert f'--dataset_name=mnist --dataset_dir={path.format(tmp_path)}' in result.stdout
  assert 'Converting: 10 of 10 images' in result.stderr


@pytest.mark.parametrize(('args', 'message'), [
    (['--dataset_name=cifar10', '--dataset_dir=x', '--source_dir=.'],
     'error: --source_dir=. has no cifar-10-python.tar.gz or cifar-10-batches-py'),
    (['--dataset_name=mnist'], 'error: give --dataset_name and --dataset_dir'),
    (['--dataset_name=mnistt', '--dataset_dir=x'],
     "unknown value: 'mnistt'; known, nearest first: mnist, "),
])
def test_errors_are_one_line_without_traceback(tmp_path, args, message):
  result = run(*args, cwd=tmp_path)
  assert result.returncode != 0
  assert message in result.stderr
  assert 'Traceback' not in result.stderr


WITHOUT_EXTRAS = """
import sys
sys.modules.update({'PIL': None, 'sklearn': None})
from images.datasets import cifar10, digits, flowers, image_folder, mnist, tfrecord
sys.argv[1:] = ['--dataset_name=mnist', '--dataset_dir=x']
from absl import app
from images.datasets import download_and_convert_data
download_and_convert_data.define_flags()
app.run(download_and_convert_data.main)
"""


def test_reading_needs_no_pillow_and_conversion_asks_for_it(tmp_path):
  project = SCRIPT.parents[2]
  result = subprocess.run([sys.executable, '-c', WITHOUT_EXTRAS], cwd=tmp_path, timeout=120,
                          env={**os.environ, 'PYTHONPATH': str(project)}, capture_output=True,
                          text=True)
  assert result.returncode == 1
  assert result.stderr.splitlines()[-1].endswith('; pip install pillow')
  assert os.listdir(tmp_path) == []


def test_a_value_with_a_space_needs_quotes(capsys):
  assert download_and_convert_data.main(['script', 'photos']) == 1
  assert "unexpected arguments ['photos']: flags start with --, and " in capsys.readouterr().err


class Values(types.SimpleNamespace):
  """Stands for flags."""

  def __getitem__(self, name):
    return types.SimpleNamespace(value=None)


@pytest.mark.parametrize(('files', 'holds'), [
    ([], 'no complete conversion'), (['manifest.json'], 'the earlier conversion')])
def test_an_interruption_tells_what_is_there(tmp_path, monkeypatch, capsys, files, holds):
  def convert(*_, **__):
    raise KeyboardInterrupt
  for name in files:
    (tmp_path / name).touch()
  monkeypatch.setattr(conversion, 'convert', convert)
  monkeypatch.setattr(download_and_convert_data.flags, 'FLAGS', Values(
      dataset_name='mnist', dataset_dir=str(tmp_path), source_dir=None, max_bad_fraction=0))
  assert download_and_convert_data.main([]) == 1
  assert capsys.readouterr().err.endswith(f'error: interrupted; {tmp_path} holds {holds}\n')


@pytest.mark.parametrize(('error', 'expected'), [
    (OSError(28, 'No space left on device'),
     'no space left in /data; make room or choose another --dataset_dir'),
    (PermissionError(13, 'Permission denied', '/data'), "[Errno 13] Permission denied: '/data'"),
])
def test_errors_of_the_system(error, expected):
  assert download_and_convert_data.explain(error, '/data') == expected


def test_summary():
  manifest = {'dataset': 'x', 'classes': ['a', 'b'], 'train_files': ['f', 'g'], 'test_files': ['h'],
              'files': {name: {'records': 1000, 'bytes': 5} for name in 'fgh'}}
  assert download_and_convert_data.summary(manifest, '/data').splitlines() == [
      'x is converted into /data:',
      '  f: 1,000 records, 5 bytes',
      '  g: 1,000 records, 5 bytes',
      '  h: 1,000 records, 5 bytes',
      'train: 2,000 records',
      'test: 1,000 records',
      '2 classes, listed in labels.txt',
      'Train on it with:',
      '  python train_image_classifiers.py --dataset_name=x --dataset_dir=/data --num_classes=2 '
      '--enable_paisoar=False']
  assert " --dataset_dir='/my data' " in download_and_convert_data.summary(manifest, '/my data')
