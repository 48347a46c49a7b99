import datetime
import errno
import hashlib
import json
import os
import pathlib
import platform
import re
import types

import pytest

from images.utils import cluster_utils, run_utils
from images.utils.tf1 import tf


def test_the_code_is_that_of_the_project():
  root = pathlib.Path(run_utils.__file__).parents[2]
  code = run_utils.code()
  assert {'flags.py', 'train_image_classifiers.py', 'images/utils/run_utils.py',
          'images/models/lenet.py'} < set(code)
  assert all(name.startswith('images/') or '/' not in name for name in code)
  digest = hashlib.sha256((root / 'images/models/lenet.py').read_bytes()).hexdigest()
  assert code['images/models/lenet.py'] == digest[:8]


def test_a_given_directory_is_made(tmp_path):
  path = str(tmp_path / 'a' / 'b')
  assert run_utils.open_run_dir(path, model_name='lenet', dataset_name='mnist') == path
  assert os.listdir(path) == []


def test_slashes_behind_a_directory_do_not_count(tmp_path):
  for slashes in ('', '/', '//'):
    assert run_utils.open_run_dir(f'{tmp_path}/a{slashes}', model_name='lenet',
                                  dataset_name='mnist') == f'{tmp_path}/a'


def test_a_new_directory_is_named_after_time_model_and_data(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  path = run_utils.open_run_dir(None, model_name='lenet', dataset_name='mnist')
  assert re.fullmatch(r'runs/\d{8}-\d{6}-lenet-mnist', path)
  assert os.path.isdir(path)


def test_runs_that_start_in_the_same_second_have_directories_of_their_own(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  now = datetime.datetime(2026, 1, 2, 3, 4, 5)
  monkeypatch.setattr(run_utils.datetime, 'datetime', types.SimpleNamespace(now=lambda: now))
  paths = [run_utils.open_run_dir(None, model_name='lenet', dataset_name='mnist')
           for _ in range(3)]
  assert paths == [f'runs/20260102-030405-lenet-mnist{ending}' for ending in ('', '-2', '-3')]


def test_a_new_directory_that_cannot_be_made_is_an_error(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'runs').write_text('x')
  with pytest.raises(OSError, match='--output_dir=runs/.*-lenet-mnist cannot be written: '):
    run_utils.open_run_dir(None, model_name='lenet', dataset_name='mnist')


def test_a_directory_whose_checkpoints_tensorflow_would_not_find_is_refused(tmp_path):
  with pytest.raises(ValueError, match=r'run \[v1\]. has \[ in it, which TensorFlow takes'):
    run_utils.open_run_dir(str(tmp_path / 'run [v1]'), model_name='lenet', dataset_name='mnist')
  assert os.listdir(tmp_path) == []


def test_a_directory_below_a_file_is_an_error(tmp_path):
  (tmp_path / 'file').write_text('x')
  path = str(tmp_path / 'file' / 'run')
  with pytest.raises(OSError, match=f'--output_dir={path} cannot be written: .*; choose another'):
    run_utils.open_run_dir(path, model_name='lenet', dataset_name='mnist')


def test_only_the_chief_makes_the_directory(tmp_path, monkeypatch):
  monkeypatch.setattr(cluster_utils, 'rank', lambda: 1)
  run_utils.open_run_dir(str(tmp_path / 'a'), model_name='lenet', dataset_name='mnist')
  assert os.listdir(tmp_path) == []


def test_all_ranks_have_the_directory_of_the_chief(monkeypatch):
  monkeypatch.setattr(cluster_utils, 'rank', lambda: 1)
  monkeypatch.setattr(cluster_utils, 'broadcast_object', lambda value: 'runs/a')
  assert run_utils.open_run_dir(None, model_name='lenet', dataset_name='mnist') == 'runs/a'


def test_the_record_of_a_run(tmp_path):
  run_utils.write_record(str(tmp_path), {'batch_size': 32, 'model_dir': None}, step=7,
                         files={'a.tfrecord': 10})
  record = json.loads((tmp_path / 'run.json').read_text())
  versions = record.pop('versions')
  assert versions['python'] == platform.python_version()
  assert versions['tensorflow'] == tf.version.VERSION
  assert set(versions) == {'python', 'tensorflow', 'tf-keras', 'tf-slim', 'numpy', 'absl-py'}
  assert record == {
      'flags': {'batch_size': 32, 'model_dir': None}, 'transport': 'none, one process', 'ranks': 1,
      'step': 7, 'files': {'a.tfrecord': 10}}


def test_a_directory_without_locks_has_its_owner_warned(tmp_path, monkeypatch, caplog):
  def flock(*_):
    raise OSError(errno.ENOSYS, 'Function not implemented')

  monkeypatch.setattr(run_utils.fcntl, 'flock', flock)
  with run_utils.owned(str(tmp_path)):
    pass
  assert caplog.messages == [
      f'--output_dir={tmp_path} cannot be locked (Function not implemented): make sure that '
      'no other run writes there']


def test_what_an_interrupted_saving_has_left_is_removed(tmp_path):
  """As the disk was full: a file of the size of the checkpoint."""
  left = tmp_path / 'model.ckpt-50.data-00000-of-00001.tempstate123'
  kept = tmp_path / 'model.ckpt-40.data-00000-of-00001'
  left.touch()
  kept.touch()
  with run_utils.owned(str(tmp_path)):
    assert (left.exists(), kept.exists()) == (False, True)


def test_a_directory_has_one_owner_at_a_time(tmp_path):
  with run_utils.owned(str(tmp_path)), \
      pytest.raises(RuntimeError, match=f'another run is writing to --output_dir={tmp_path}'), \
      run_utils.owned(str(tmp_path)):
    pass
  with run_utils.owned(str(tmp_path)):
    pass


def test_a_run_does_not_look_for_uninitialized_variables():
  with tf.Graph().as_default(), tf.Session() as session:
    tf.get_variable('w', initializer=1.0)
    scaffold = run_utils.scaffold().finalize()
    assert session.run([scaffold.ready_op, scaffold.ready_for_local_init_op])[0].size == 0


def test_flags_that_are_not_those_of_the_run(tmp_path, monkeypatch, caplog):
  flags = {'hooks': ['a', 'b'], 'seed': 1, 'preprocessing_name': 'lenet'}
  changed = {**flags, 'seed': 2, 'preprocessing_name': None, 'new': 1}
  run_utils.warn_of_changes(str(tmp_path), changed)  # There is no record yet.
  run_utils.write_record(str(tmp_path), flags)
  run_utils.warn_of_changes(str(tmp_path), flags)
  with monkeypatch.context() as patch:
    patch.setattr(cluster_utils, 'rank', lambda: 1)
    run_utils.warn_of_changes(str(tmp_path), changed)
  assert not caplog.messages
  run_utils.warn_of_changes(str(tmp_path), flags, ranks=1)
  assert not caplog.messages
  run_utils.warn_of_changes(str(tmp_path), flags, ranks=3)
  assert (f'{tmp_path}/run.json was written: 3 ranks, were 1: this changes the global batch and'
          in caplog.messages[0])
  caplog.clear()
  run_utils.warn_of_changes(str(tmp_path), changed)
  assert caplog.messages == [f'changed since {tmp_path}/run.json was written: --seed is 2, was 1; '
                             "--preprocessing_name is None, was 'lenet'"]


def test_training_files_that_are_not_those_of_the_run(tmp_path, caplog):
  run_utils.write_record(str(tmp_path), {}, files={'a.tfrecord': 10})
  run_utils.warn_of_changes(str(tmp_path), {}, files={'/moved/a.tfrecord': 10})
  assert not caplog.messages
  run_utils.warn_of_changes(str(tmp_path), {}, files={'a.tfrecord': 11})
  assert 'the training files or their numbers of records differ: in this' in caplog.messages[0]


@pytest.mark.parametrize('text', ['', '{"flags"', '[]', '{}'])
def test_a_damaged_record_is_no_reason_to_end(tmp_path, caplog, text):
  (tmp_path / 'run.json').write_text(text)
  run_utils.warn_of_changes(str(tmp_path), {'seed': 1}, ranks=1, files={})
  assert caplog.messages == [f'{tmp_path}/run.json is damaged: cannot tell what has changed '
                             'since the run began']
