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


def save(folder, *, step, position=None, images=None):
  """Write a checkpoint as training does."""
  with tf.Graph().as_default(), tf.Session() as session:
    tf.train.get_or_create_global_step()
    if position is not None:
      tf.get_variable('input_position', initializer=tf.constant(position, tf.int64))
    if images is not None:
      tf.get_variable('images_trained', initializer=tf.constant(images, tf.int64))
    session.run(tf.global_variables_initializer())
    session.run(tf.train.get_global_step().assign(step))
    return tf.train.Saver(save_relative_paths=True).save(
        session, f'{folder}/model.ckpt', global_step=step)


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


@pytest.mark.parametrize('folder', ['', 'absent'])
def test_a_new_run_starts_from_zero(tmp_path, folder):
  assert run_utils.resume_point(str(tmp_path / folder)) == (None, 0, 0, [])


def test_a_run_goes_on_from_its_newest_checkpoint(tmp_path):
  save(tmp_path, step=9, position=[[90]])
  path = save(tmp_path, step=10, position=[[20, 20, 20], [32, 31, -1]], images=63)
  assert run_utils.resume_point(str(tmp_path)) == (path, 10, 63, [[20, 20, 20], [32, 31]])


def test_mock_data_has_no_position(tmp_path):
  path = save(tmp_path, step=10)
  assert run_utils.resume_point(str(tmp_path)) == (path, 10, 0, [])


def test_a_moved_directory_is_found(tmp_path):
  (tmp_path / 'a').mkdir()
  save(tmp_path / 'a', step=10, position=[[123]])
  os.rename(tmp_path / 'a', tmp_path / 'b')
  assert run_utils.resume_point(str(tmp_path / 'b')) == (f'{tmp_path}/b/model.ckpt-10', 10, 0,
                                                           [[123]])


@pytest.mark.parametrize('names', [None, '', 'model_checkpoint_path: "{0}/other/model.ckpt-10"\n'])
def test_the_newest_checkpoint_without_the_file_that_names_it(tmp_path, names, caplog):
  """As after a kill between the two writes, or in a copy; it is mended, and TensorFlow believes it.
  """
  (tmp_path / 'other').mkdir()
  save(tmp_path / 'other', step=10)
  for step in (9, 10):
    path = save(tmp_path, step=step, position=[[step]])
  if names is None:
    os.remove(tmp_path / 'checkpoint')
  else:
    (tmp_path / 'checkpoint').write_text(names.format(tmp_path))
  assert run_utils.resume_point(str(tmp_path)) == (path, 10, 0, [[10]])
  for _ in range(2):
    run_utils.name_checkpoint(path, str(tmp_path))
    state = tf.train.get_checkpoint_state(str(tmp_path))
    assert state.model_checkpoint_path == path
    assert [*state.all_model_checkpoint_paths] == [f'{tmp_path}/model.ckpt-9', path]
  named = f'{tmp_path}/other/model.ckpt-10' if names else 'nothing'
  assert [text for text in caplog.messages if '/checkpoint named' in text] == [
      f'{tmp_path}/checkpoint named {named}; now it names model.ckpt-10 beside it']


def test_a_checkpoint_by_its_whole_path_is_the_same(tmp_path, monkeypatch, caplog):
  save(tmp_path, step=9)
  text = f'model_checkpoint_path: "{tmp_path}/model.ckpt-9"\n'
  (tmp_path / 'checkpoint').write_text(text)
  monkeypatch.chdir(tmp_path.parent)
  run_utils.name_checkpoint(f'{tmp_path.name}/model.ckpt-9', tmp_path.name)
  assert (tmp_path / 'checkpoint').read_text() == text
  assert '/checkpoint named' not in caplog.text


def test_the_old_ones_are_known_to_whoever_deletes_them(tmp_path):
  """Of the format before the last too, which saved_steps() does not find."""
  save(tmp_path, step=9)
  (tmp_path / 'checkpoint').write_text('model_checkpoint_path: "/gone/old.ckpt-7"\n')
  run_utils.name_checkpoint(f'{tmp_path}/old.ckpt-7', str(tmp_path))
  assert [*tf.train.get_checkpoint_state(str(tmp_path)).all_model_checkpoint_paths] == [
      f'{tmp_path}/model.ckpt-9', f'{tmp_path}/old.ckpt-7']


@pytest.mark.parametrize('names', ['', 'model_checkpoint_path: "model.ckpt-7"\n'])
def test_a_file_that_names_no_checkpoint_is_removed_where_there_is_none(tmp_path, names, caplog):
  """As somebody has removed the others to begin anew."""
  (tmp_path / 'checkpoint').write_text(names)
  assert run_utils.resume_point(str(tmp_path)) == (None, 0, 0, [])
  for _ in range(2):
    run_utils.name_checkpoint(None, str(tmp_path))
    assert os.listdir(tmp_path) == []
  named = f'{tmp_path}/model.ckpt-7' if names else 'nothing'
  assert [text for text in caplog.messages if '/checkpoint named' in text] == [
      f'{tmp_path}/checkpoint named {named}: it is removed, as there is no checkpoint']


def test_a_checkpoint_in_another_directory_is_an_error(tmp_path):
  """To begin anew instead, or to write to that directory, would surprise."""
  (tmp_path / 'a').mkdir()
  path = save(tmp_path / 'a', step=7)
  (tmp_path / 'checkpoint').write_text('model_checkpoint_path: "a/model.ckpt-7"\n')
  with pytest.raises(ValueError, match=f'{tmp_path}/checkpoint names {path}, in another directory: '
                                       f'copy its files to {tmp_path}, or remove '):
    run_utils.resume_point(str(tmp_path))


def test_a_directory_that_is_no_run_is_not_gone_on_from(tmp_path):
  """As one in which TF-Slim has trained."""
  path = save(tmp_path, step=7)
  with tf.Graph().as_default():
    tf.train.get_or_create_global_step()
    run_utils.check_resumable(path, str(tmp_path))
    tf.get_variable('images_trained', [])
    with pytest.raises(ValueError, match=(
        f'images_trained is not in it. {tmp_path} is not the directory of a run, which has '
        rf'run.json: .* --task_type=finetune --model_dir={tmp_path} --ckpt_file_name=model.ckpt-7'
    )):
      run_utils.check_resumable(path, str(tmp_path))
    run_utils.write_record(str(tmp_path), {})
    with pytest.raises(ValueError, match=rf'with other flags .*, see {tmp_path}/run\.json: use '):
      run_utils.check_resumable(path, str(tmp_path))


def test_images_are_counted_by_steps_and_not_by_runs_of_the_operation():
  """The fourth run makes no step, as one whose gradient overflows."""
  with tf.Graph().as_default(), tf.Session() as session:
    step = tf.train.get_or_create_global_step()
    applied = tf.placeholder(tf.int64, [])
    count = run_utils.count_images(step.assign_add(applied).op, first_step=5, images=70,
                                   global_batch=12)
    session.run([tf.global_variables_initializer()])
    session.run(step.assign(5))
    seen = []
    for made in (1, 1, 1, 0, 1):
      session.run(count, {applied: made})
      seen.append(int(session.run(tf.global_variables('images_trained')[0])))
  assert seen == [82, 94, 106, 106, 118]


def test_a_damaged_checkpoint_is_an_error(tmp_path):
  path = save(tmp_path, step=10)
  os.truncate(path + '.index', 10)
  with pytest.raises(ValueError, match=f'{tmp_path} is not the directory of a run, .*=finetune '):
    run_utils.resume_point(str(tmp_path))
  run_utils.write_record(str(tmp_path), {})
  with pytest.raises(ValueError, match=r'model\.ckpt-10 cannot be read: .*Remove its files'):
    run_utils.resume_point(str(tmp_path))


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
      f'--output_dir={tmp_path} cannot be locked (Function not implemented): see to it that no '
      'other run writes there']


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


def test_a_checkpoint_that_another_run_has_saved_in_the_meantime(tmp_path):
  """Its position in the data would not be that of the plan."""
  for step, found in ((1, None), (2, 'model.ckpt-1')):
    save(tmp_path, step=step)
    with pytest.raises(RuntimeError, match=rf'just saved {tmp_path}/model\.ckpt-{step}: start '):
      run_utils.check_is_newest(found and f'{tmp_path}/{found}', str(tmp_path))
  run_utils.check_is_newest(run_utils.newest_checkpoint(str(tmp_path))[0], str(tmp_path))


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
  assert f'{tmp_path}/run.json: 3 ranks, were 1: the global batch and' in caplog.messages[0]
  caplog.clear()
  run_utils.warn_of_changes(str(tmp_path), changed)
  assert caplog.messages == [f'not as in the run so far, {tmp_path}/run.json: --seed is 2, was 1; '
                             "--preprocessing_name is None, was 'lenet'"]


def test_training_files_that_are_not_those_of_the_run(tmp_path, caplog):
  run_utils.write_record(str(tmp_path), {}, files={'a.tfrecord': 10})
  run_utils.warn_of_changes(str(tmp_path), {}, files={'/moved/a.tfrecord': 10})
  assert not caplog.messages
  run_utils.warn_of_changes(str(tmp_path), {}, files={'a.tfrecord': 11})
  assert 'the training files are others, or have other numbers of records' in caplog.messages[0]


@pytest.mark.parametrize('text', ['', '{"flags"', '[]', '{}'])
def test_a_damaged_record_is_no_reason_to_end(tmp_path, caplog, text):
  (tmp_path / 'run.json').write_text(text)
  run_utils.warn_of_changes(str(tmp_path), {'seed': 1}, ranks=1, files={})
  assert caplog.messages == [f'{tmp_path}/run.json is damaged: what is not as in the run so far '
                             'cannot be told']


def test_all_ranks_have_the_directory_and_the_checkpoint_of_the_chief(tmp_path, monkeypatch):
  """Which another rank need not see; its own is no other."""
  save(tmp_path, step=9, position=[[90]])
  of_chief = ('/chief/model.ckpt-10', 10, 80, [[40, 40]])
  monkeypatch.setattr(cluster_utils, 'rank', lambda: 1)
  sent = iter(['runs/a', of_chief])
  monkeypatch.setattr(cluster_utils, 'broadcast_object', lambda value: next(sent))
  assert run_utils.open_run_dir(None, model_name='lenet', dataset_name='mnist') == 'runs/a'
  assert run_utils.resume_point(str(tmp_path)) == of_chief
