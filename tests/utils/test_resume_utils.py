import os

import pytest

from images.utils import cluster_utils, resume_utils, run_utils
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


@pytest.mark.parametrize('folder', ['', 'absent'])
def test_a_new_run_starts_from_zero(tmp_path, folder):
  assert resume_utils.resume_point(str(tmp_path / folder)) == (None, 0, 0, [])


def test_a_run_goes_on_from_its_newest_checkpoint(tmp_path):
  save(tmp_path, step=9, position=[[90]])
  path = save(tmp_path, step=10, position=[[20, 20, 20], [32, 31, -1]], images=63)
  assert resume_utils.resume_point(str(tmp_path)) == (path, 10, 63, [[20, 20, 20], [32, 31]])


def test_mock_data_has_no_position(tmp_path):
  path = save(tmp_path, step=10)
  assert resume_utils.resume_point(str(tmp_path)) == (path, 10, 0, [])


def test_a_moved_directory_is_found(tmp_path):
  (tmp_path / 'a').mkdir()
  save(tmp_path / 'a', step=10, position=[[123]])
  os.rename(tmp_path / 'a', tmp_path / 'b')
  assert resume_utils.resume_point(str(tmp_path / 'b')) == (f'{tmp_path}/b/model.ckpt-10', 10, 0,
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
  assert resume_utils.resume_point(str(tmp_path)) == (path, 10, 0, [[10]])
  for _ in range(2):
    resume_utils.name_checkpoint(path, str(tmp_path))
    state = tf.train.get_checkpoint_state(str(tmp_path))
    assert state.model_checkpoint_path == path
    assert [*state.all_model_checkpoint_paths] == [f'{tmp_path}/model.ckpt-9', path]
  named = f'{tmp_path}/other/model.ckpt-10' if names else 'nothing'
  assert [text for text in caplog.messages if '/checkpoint named' in text] == [
      f'{tmp_path}/checkpoint named {named}; corrected it to model.ckpt-10, in the same directory']


def test_a_checkpoint_by_its_whole_path_is_the_same(tmp_path, monkeypatch, caplog):
  save(tmp_path, step=9)
  text = f'model_checkpoint_path: "{tmp_path}/model.ckpt-9"\n'
  (tmp_path / 'checkpoint').write_text(text)
  monkeypatch.chdir(tmp_path.parent)
  resume_utils.name_checkpoint(f'{tmp_path.name}/model.ckpt-9', tmp_path.name)
  assert (tmp_path / 'checkpoint').read_text() == text
  assert '/checkpoint named' not in caplog.text


def test_the_old_ones_are_known_to_whoever_deletes_them(tmp_path):
  """Of the format before the last too, which saved_steps() does not find."""
  save(tmp_path, step=9)
  (tmp_path / 'checkpoint').write_text('model_checkpoint_path: "/gone/old.ckpt-7"\n')
  resume_utils.name_checkpoint(f'{tmp_path}/old.ckpt-7', str(tmp_path))
  assert [*tf.train.get_checkpoint_state(str(tmp_path)).all_model_checkpoint_paths] == [
      f'{tmp_path}/model.ckpt-9', f'{tmp_path}/old.ckpt-7']


@pytest.mark.parametrize('names', ['', 'model_checkpoint_path: "model.ckpt-7"\n'])
def test_a_file_that_names_no_checkpoint_is_removed_where_there_is_none(tmp_path, names, caplog):
  """As somebody has removed the others to begin anew."""
  (tmp_path / 'checkpoint').write_text(names)
  assert resume_utils.resume_point(str(tmp_path)) == (None, 0, 0, [])
  for _ in range(2):
    resume_utils.name_checkpoint(None, str(tmp_path))
    assert os.listdir(tmp_path) == []
  named = f'{tmp_path}/model.ckpt-7' if names else 'nothing'
  assert [text for text in caplog.messages if '/checkpoint named' in text] == [
      f'{tmp_path}/checkpoint named {named}, but there is no checkpoint: removed the file']


def test_a_checkpoint_in_another_directory_is_an_error(tmp_path):
  """To begin anew instead, or to write to that directory, would surprise."""
  (tmp_path / 'a').mkdir()
  path = save(tmp_path / 'a', step=7)
  (tmp_path / 'checkpoint').write_text('model_checkpoint_path: "a/model.ckpt-7"\n')
  with pytest.raises(ValueError, match=(
      f'{tmp_path}/checkpoint names {path}, in another directory: copy its files to {tmp_path}, or '
      f'remove {tmp_path}/checkpoint to start a new run')):
    resume_utils.resume_point(str(tmp_path))


def test_a_directory_that_is_no_run_is_not_gone_on_from(tmp_path):
  """As one in which TF-Slim has trained."""
  path = save(tmp_path, step=7)
  with tf.Graph().as_default():
    tf.train.get_or_create_global_step()
    resume_utils.check_resumable(path, str(tmp_path))
    tf.get_variable('images_trained', [])
    with pytest.raises(ValueError, match=(
        f'images_trained is not in it. {tmp_path} is not the directory of a run, as it has no '
        rf'run.json: .* --task_type=finetune --model_dir={tmp_path} --ckpt_file_name=model.ckpt-7'
    )):
      resume_utils.check_resumable(path, str(tmp_path))
    run_utils.write_record(str(tmp_path), {})
    with pytest.raises(ValueError, match=rf'with other flags .*, see {tmp_path}/run\.json: use '):
      resume_utils.check_resumable(path, str(tmp_path))


def test_images_are_counted_by_steps_and_not_by_runs_of_the_operation():
  """The fourth run makes no step, as one whose gradient overflows."""
  with tf.Graph().as_default(), tf.Session() as session:
    step = tf.train.get_or_create_global_step()
    applied = tf.placeholder(tf.int64, [])
    count = resume_utils.count_images(step.assign_add(applied).op, first_step=5, images=70,
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
  with pytest.raises(
      ValueError, match=f'{tmp_path} is not the directory of a run, as .*=finetune '):
    resume_utils.resume_point(str(tmp_path))
  run_utils.write_record(str(tmp_path), {})
  with pytest.raises(ValueError, match=r'model\.ckpt-10 cannot be read: .*Remove its files, then'):
    resume_utils.resume_point(str(tmp_path))


def test_a_checkpoint_that_another_run_has_saved_in_the_meantime(tmp_path):
  """Its position in the data would not be that of the plan."""
  for step, found in ((1, None), (2, 'model.ckpt-1')):
    save(tmp_path, step=step)
    with pytest.raises(RuntimeError, match=rf'just saved {tmp_path}/model\.ckpt-{step}: start '):
      resume_utils.check_is_newest(found and f'{tmp_path}/{found}', str(tmp_path))
  resume_utils.check_is_newest(resume_utils.newest_checkpoint(str(tmp_path))[0], str(tmp_path))


def test_all_ranks_have_the_checkpoint_of_the_chief(tmp_path, monkeypatch):
  """Which another rank need not see; its own is no other."""
  save(tmp_path, step=9, position=[[90]])
  of_chief = ('/chief/model.ckpt-10', 10, 80, [[40, 40]])
  monkeypatch.setattr(cluster_utils, 'rank', lambda: 1)
  monkeypatch.setattr(cluster_utils, 'broadcast_object', lambda value: of_chief)
  assert resume_utils.resume_point(str(tmp_path)) == of_chief
