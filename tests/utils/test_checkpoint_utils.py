import os
import shutil

import numpy as np
import pytest

from images.utils import checkpoint_utils
from images.utils.tf1 import tf

V1, V2 = tf.train.SaverDef.V1, tf.train.SaverDef.V2


def save(folder, name, *, version=V2, step=None, dtype=np.float32, **values):
  """Write a checkpoint of variables; return its path."""
  with tf.Graph().as_default(), tf.Session() as session:
    for variable, value in values.items():
      tf.get_variable(variable, initializer=np.array(value, dtype))
    session.run(tf.global_variables_initializer())
    return tf.train.Saver(write_version=version).save(
        session, os.path.join(folder, name), global_step=step)


@pytest.mark.parametrize('suffix', ['', '.index', '.data-00000-of-00001', '.meta'])
@pytest.mark.parametrize(('step', 'name'), [(7, 'model.ckpt-7'), (None, 'model.ckpt')])
def test_the_prefix_or_any_file_of_a_checkpoint_will_do(tmp_path, step, name, suffix):
  prefix = save(tmp_path, 'model.ckpt', step=step, w=[1, 2])
  path = checkpoint_utils.checkpoint_path(str(tmp_path), name + suffix)
  assert path == prefix == f'{tmp_path}/{name}'
  assert checkpoint_utils.checkpoint_shapes(path) == {'w': [2]}


def test_a_single_file_of_the_old_format(tmp_path):
  """Such as the published resnet_v1_50.ckpt."""
  save(tmp_path, 'resnet_v1_50.ckpt', version=V1, w=[[1, 2, 3]])
  path = checkpoint_utils.checkpoint_path(str(tmp_path), 'resnet_v1_50.ckpt')
  assert os.path.isfile(path)
  assert path == f'{tmp_path}/resnet_v1_50.ckpt'
  assert checkpoint_utils.checkpoint_shapes(path) == {'w': [1, 3]}


def test_the_steps_that_a_run_has_saved(tmp_path):
  assert checkpoint_utils.saved_steps(str(tmp_path / 'absent')) == []
  for step in (10, 9):
    save(tmp_path, 'model.ckpt', step=step, w=[1])
  save(tmp_path, 'other.ckpt', step=11, w=[1])
  assert checkpoint_utils.saved_steps(str(tmp_path)) == [9, 10]


def test_without_a_name_the_newest(tmp_path):
  for step in (5, 10):
    save(tmp_path, 'model.ckpt', step=step, w=1)
  assert checkpoint_utils.checkpoint_path(str(tmp_path), None) == f'{tmp_path}/model.ckpt-10'


@pytest.mark.parametrize('damage', ['remove the newest', 'remove', 'empty'])
def test_the_newest_without_the_file_that_names_it(tmp_path, damage):
  for step in (5, 9, 10):
    save(tmp_path, 'model.ckpt', step=step, w=1)
  newest = 10
  if damage == 'remove the newest':
    for path in tmp_path.glob('model.ckpt-10.*'):
      path.unlink()
    newest = 9
  elif damage == 'remove':
    (tmp_path / 'checkpoint').unlink()
  else:
    (tmp_path / 'checkpoint').write_text('')
  path = checkpoint_utils.checkpoint_path(str(tmp_path), None)
  assert path == f'{tmp_path}/model.ckpt-{newest}'


@pytest.mark.parametrize('character', '[\\')
def test_a_path_where_tensorflow_finds_no_checkpoint_is_refused(character):
  with pytest.raises(ValueError, match='in it, which TensorFlow .*: choose another directory'):
    checkpoint_utils.checkpoint_path(f'/run{character}1', None)


@pytest.mark.parametrize('character', '*?')
def test_where_a_run_cannot_be_there_may_be_a_checkpoint(tmp_path, character):
  (tmp_path / f'run{character}').mkdir()
  path = save(tmp_path / f'run{character}', 'model.ckpt', step=5, w=[1])
  assert checkpoint_utils.checkpoint_path(str(tmp_path / f'run{character}'), None) == path
  with pytest.raises(ValueError, match='choose another directory'):
    checkpoint_utils.check_is_no_pattern(path, '*?')


def test_a_directory_stands_for_its_newest(tmp_path):
  (tmp_path / 'run').mkdir()
  for step in (5, 10):
    save(tmp_path / 'run', 'model.ckpt', step=step, w=1)
  path = checkpoint_utils.checkpoint_path(str(tmp_path), 'run')
  assert path == f'{tmp_path}/run/model.ckpt-10'
  path = checkpoint_utils.checkpoint_path(str(tmp_path / 'run'), '.')
  assert os.path.samefile(path + '.index', tmp_path / 'run' / 'model.ckpt-10.index')


def test_no_directory_is_an_error():
  with pytest.raises(ValueError, match='--model_dir is needed'):
    checkpoint_utils.checkpoint_path(None, 'model.ckpt')


def test_a_missing_checkpoint_is_an_error_that_names_those_there(tmp_path):
  save(tmp_path, 'model.ckpt', step=7, w=1)
  with pytest.raises(FileNotFoundError, match=r'no checkpoint .*/model\.ckpt-8: check --model_dir '
                                              r'and --ckpt_file_name; .*model\.ckpt-7\.index'):
    checkpoint_utils.checkpoint_path(str(tmp_path), 'model.ckpt-8')


@pytest.mark.parametrize('name', [None, 'model.ckpt'])
@pytest.mark.parametrize('folder', ['', 'absent'])
def test_an_empty_or_missing_directory_is_an_error(tmp_path, folder, name):
  with pytest.raises(FileNotFoundError, match=r'no checkpoint .*--output_dir.*: none$'):
    checkpoint_utils.checkpoint_path(str(tmp_path / folder), name, '--output_dir')


@pytest.mark.parametrize('dtype', [np.float16, np.float64])
def test_a_checkpoint_of_another_dtype_is_an_error(tmp_path, dtype):
  path = save(tmp_path, 'model.ckpt', dtype=dtype, v=[1], w=[1])
  with tf.Graph().as_default():
    variables = [tf.get_variable(name, [1]) for name in 'vw']
    with pytest.raises(ValueError, match=rf'{path} holds 2 variables in other dtypes: v is '
                                         rf'{dtype.__name__} in it, float32 here\. Save it again'):
      checkpoint_utils.check_loadable(variables, path)


def test_a_damaged_checkpoint_is_an_error(tmp_path):
  path = save(tmp_path, 'model.ckpt', w=np.ones(1000))
  with open(path + '.index', 'r+b') as file:
    file.truncate(10)
  with pytest.raises(
      ValueError, match=r'model\.ckpt is not a complete TensorFlow checkpoint .*: copy all of '):
    checkpoint_utils.checkpoint_shapes(path)


def variables():
  return [tf.get_variable('w', [2, 3]), tf.get_variable('b', [3])]


def test_a_checkpoint_that_fits(tmp_path):
  path = save(tmp_path, 'model.ckpt', w=np.ones([2, 3]), b=np.ones(3), more=1)
  with tf.Graph().as_default():
    found = variables()
    checkpoint_utils.check_loadable(found, path)
    with pytest.raises(ValueError, match='does not fit the network: more is in it, but not here. '):
      checkpoint_utils.check_loadable(found, path, exact=True)


def test_a_checkpoint_that_does_not_fit(tmp_path):
  path = save(tmp_path, 'model.ckpt', w=np.ones([2, 5]))
  with tf.Graph().as_default(), pytest.raises(ValueError) as error:
    checkpoint_utils.check_loadable(variables(), path)
  assert str(error.value) == (
      f'{path} does not fit the network: w has shape [2, 5] in it, [2, 3] here; b is not in it. '
      'Check --model_name and --num_classes.')


def test_averages_take_the_place_of_variables_that_have_one():
  with tf.Graph().as_default():
    variables = [tf.get_variable(name, [1]) for name in ('a', 'b')]
    shapes = {'a': [1], 'a/ExponentialMovingAverage': [1], 'b': [1]}
    assert checkpoint_utils.stored_names(variables, shapes) == {'a': 'a', 'b': 'b'}
    assert checkpoint_utils.stored_names(variables, shapes, use_ema_weights=True) == {
        'a': 'a/ExponentialMovingAverage', 'b': 'b'}
    with pytest.raises(ValueError, match='no average of a variable .* a/ExponentialMovingAverage'):
      checkpoint_utils.stored_names(variables, {'a': [1]}, use_ema_weights=True)


@pytest.mark.parametrize('version', [V1, V2])
@pytest.mark.parametrize('original', ['is there', 'is gone'])
def test_a_copied_directory_has_its_own_checkpoint(tmp_path, original, version):
  """TF-Slim's names the original by a whole path."""
  for folder in ('original', 'copy'):
    (tmp_path / folder).mkdir()
    path = save(tmp_path / folder, 'model.ckpt', version=version, step=7, w=[1])
  if original == 'is gone':
    shutil.rmtree(tmp_path / 'original')
  (tmp_path / 'copy' / 'checkpoint').write_text(
      f'model_checkpoint_path: "{tmp_path}/original/model.ckpt-7"\n')
  assert checkpoint_utils.checkpoint_path(str(tmp_path / 'copy'), None) == path


def test_a_directory_may_name_a_checkpoint_elsewhere(tmp_path):
  (tmp_path / 'a').mkdir()
  path = save(tmp_path / 'a', 'model.ckpt', step=7, w=[1])
  (tmp_path / 'checkpoint').write_text('model_checkpoint_path: "a/model.ckpt-7"\n')
  assert checkpoint_utils.checkpoint_path(str(tmp_path), None) == path
  assert checkpoint_utils.newest_in(str(tmp_path)) is None  # No run goes on from there.


def test_what_is_packed_has_to_be_unpacked(tmp_path):
  """As a published vgg_16_2016_08_28.tar.gz."""
  path = tmp_path / 'vgg_16.tar.gz'
  path.write_bytes(b'\x1f\x8b')
  with pytest.raises(ValueError, match=r'/vgg_16\.tar\.gz is an archive: unpack it, and name '):
    checkpoint_utils.checkpoint_shapes(str(path))


def test_a_network_for_grey_images():
  assert 'trained on greyscale images' in checkpoint_utils.shape_hint(
      [5, 5, 1, 32], [5, 5, 3, 32])
  assert checkpoint_utils.shape_hint([5, 5, 1, 32], [5, 5, 4, 32]) == ''


def test_a_class_more_may_be_the_background():
  hint = checkpoint_utils.shape_hint([1, 1, 64, 1001], [1, 1, 64, 1000])
  assert '--num_classes=1001 --labels_offset=-1' in hint
  assert checkpoint_utils.shape_hint([1, 1, 32, 1001], [1, 1, 64, 1000]) == ''
  assert checkpoint_utils.shape_hint([1000], [1001]) == ''
  assert checkpoint_utils.shape_hint([], []) == ''
  assert checkpoint_utils.shape_hint([], [None, None]) == ''
