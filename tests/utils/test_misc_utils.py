"""Which variables a finetune loads."""
import numpy as np
import pytest

from images.utils import misc_utils
from images.utils.tf1 import tf
from tests.utils.test_checkpoint_utils import V1, V2, save

CHECKPOINT = {
    'net/conv/weights': [[1, 2]], 'net/conv/BatchNorm/moving_mean': [3],
    'net/conv/BatchNorm/moving_variance': [4], 'net/logits/weights': [5, 6, 7],
    'net/conv/weights/Momentum': [[8, 9]], 'global_step': 10}
SHAPES = {name: list(np.shape(value)) for name, value in CHECKPOINT.items()}


@pytest.fixture(autouse=True)
def _graph():
  with tf.Graph().as_default():
    yield


def network(classes=3):
  """Return the variables of a network; all start at zero."""
  def variable(name, shape, trainable=True):
    return tf.get_variable(name, shape, initializer=tf.zeros_initializer(), trainable=trainable)
  return [
      variable('net/conv/weights', [1, 2]),
      variable('net/conv/BatchNorm/moving_mean', [1], False),
      variable('net/conv/BatchNorm/moving_variance', [1], False),
      variable('net/logits/weights', [classes]),
      variable('net/conv_new/weights', [2]),
      variable('net/counter', [], False)]


def choose(variables, **choice):
  """Return the names that are loaded, and the reasons of the others."""
  assignment_map, left_out = misc_utils.get_assigment_map_from_checkpoint(
      variables, SHAPES, **choice)
  assert all(name == variable.op.name for name, variable in assignment_map.items())
  return list(assignment_map), left_out


def test_only_trainable_variables_by_default():
  loaded, left_out = choose(network())
  assert loaded == ['net/conv/weights', 'net/logits/weights']
  assert left_out == {
      'net/conv/BatchNorm/moving_mean': 'moving average, --restore_moving_averages loads it',
      'net/conv/BatchNorm/moving_variance': 'moving average, --restore_moving_averages loads it',
      'net/conv_new/weights': 'not in the checkpoint',
      'net/counter': 'not trainable'}


def test_moving_averages_where_they_are_wanted():
  loaded, _ = choose(network(), restore_moving_averages=True)
  assert loaded == ['net/conv/weights', 'net/conv/BatchNorm/moving_mean',
                    'net/conv/BatchNorm/moving_variance', 'net/logits/weights']


@pytest.mark.parametrize('scope', ['net/conv', 'net/conv/'])
def test_excluded_scopes(scope):
  """A scope is more than the beginning of a name: net/conv_new is not in net/conv."""
  loaded, left_out = choose(network(), exclude_scopes=[scope], restore_moving_averages=True)
  assert loaded == ['net/logits/weights']
  assert left_out['net/conv/weights'] == 'in --checkpoint_exclude_scopes'
  assert left_out['net/conv_new/weights'] == 'not in the checkpoint'


def test_another_shape_is_left_out():
  loaded, left_out = choose(network(classes=10))
  assert loaded == ['net/conv/weights']
  assert left_out['net/logits/weights'] == 'shape [3] in the checkpoint, [10] here'


@pytest.mark.parametrize('version', [V1, V2])
def test_loading(tmp_path, version):
  """From a checkpoint in either format; the rest starts as if there were none."""
  path = save(tmp_path, 'net.ckpt', version=version, **CHECKPOINT)
  variables = network(classes=10)
  assignment_map, left_out = misc_utils.load_checkpoint(variables, path)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    values = session.run(variables)
  expected = [[[1, 2]], [0], [0], np.zeros(10), [0, 0], 0]
  for value, wanted in zip(values, expected):
    np.testing.assert_array_equal(value, wanted)
  assert misc_utils.loading_report(path, assignment_map, left_out).splitlines() == [
      f'    1 variables loaded from {path}',
      '    2 not loaded, moving average, --restore_moving_averages loads it: '
      'net/conv/BatchNorm/moving_mean, net/conv/BatchNorm/moving_variance',
      '    1 not loaded, shape [3] in the checkpoint, [10] here: net/logits/weights',
      '    1 not loaded, not in the checkpoint: net/conv_new/weights',
      '    1 not loaded, not trainable: net/counter']


def test_loading_moving_averages(tmp_path):
  path = save(tmp_path, 'net.ckpt', **CHECKPOINT)
  variables = network()
  misc_utils.load_checkpoint(variables, path, restore_moving_averages=True)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    assert [value.tolist() for value in session.run(variables)] == [
        [[1, 2]], [3], [4], [5, 6, 7], [0, 0], 0]


def test_nothing_that_matches_is_an_error(tmp_path):
  path = save(tmp_path, 'net.ckpt', **{'other/weights': [1]})
  with pytest.raises(ValueError, match=r"nothing in .*/net\.ckpt, which holds \['other/weights'\]"
                                       r'[^$]*is --model_name the network of the checkpoint\?'):
    misc_utils.load_checkpoint(network(), path)


def test_a_choice_of_what_is_not_there_is_an_error(tmp_path, monkeypatch):
  path = save(tmp_path, 'net.ckpt', **CHECKPOINT)
  monkeypatch.setattr(misc_utils, 'get_assigment_map_from_checkpoint', lambda variables, *_: (
      {'net/': variables[0]}, {}))
  with pytest.raises(ValueError, match=r"names \['net/'\], .* does not have: .*not of scopes"):
    misc_utils.load_checkpoint(network(), path)


def test_another_dtype_is_an_error(tmp_path):
  path = save(tmp_path, 'net.ckpt', dtype=np.float16, **{'net/conv/weights': [[1, 2]]})
  with pytest.raises(ValueError, match=rf'{path} .*: net/conv/weights is float16 in it, float32 '):
    misc_utils.load_checkpoint(network(), path)


def test_a_report_shows_all_names_of_a_reason_but_where_they_are_many():
  twenty = 'abcdefghijklmnopqrst'
  for names, shown in ((twenty, ', '.join(twenty)), (twenty + 'u', 'a, b, c, d, and 17 more')):
    report = misc_utils.loading_report('x', {}, dict.fromkeys(names, 'why'))
    assert report == ('    0 variables loaded from x\n'
                      f'   {len(names)} not loaded, why: {shown}')


@pytest.mark.parametrize(('scopes', 'expected'), [
    (None, ['net/conv/weights', 'net/logits/weights', 'net/conv_new/weights']),
    ('', ['net/conv/weights', 'net/logits/weights', 'net/conv_new/weights']),
    ('net/conv', ['net/conv/weights']),
    ('net/logits/, net/conv', ['net/logits/weights', 'net/conv/weights']),
    ('net', ['net/conv/weights', 'net/logits/weights', 'net/conv_new/weights']),
    ('net,net/conv', ['net/conv/weights', 'net/logits/weights', 'net/conv_new/weights']),
])
def test_the_trainable_variables_in_scopes(scopes, expected):
  network()
  assert [v.op.name for v in misc_utils.scope_variables(scopes)] == expected


def test_names_of_scopes_are_between_commas():
  assert misc_utils.split_scopes(None, 'flag') == misc_utils.split_scopes('', 'flag') == []
  assert misc_utils.split_scopes(' a/b, c d ,', 'flag') == ['a/b', 'c d']
  with pytest.raises(ValueError, match="--flag=' ,' names no scope"):
    misc_utils.split_scopes(' ,', 'flag')


def test_a_scope_without_variables_is_an_error():
  network()
  with pytest.raises(ValueError, match=r"--trainable_scopes: no variable in 'net/fc'; scopes: .*"
                                       "'net/conv', 'net/conv_new', 'net/logits'"):
    misc_utils.scope_variables('net/conv,net/fc')


def test_commas_without_a_scope_are_an_error():
  network()
  with pytest.raises(ValueError, match="--trainable_scopes=', ' names no scope"):
    misc_utils.scope_variables(', ')


def test_model_statistics():
  variables = [tf.get_variable('conv/weights', [30, 50]), tf.get_variable('b', [])]
  assert misc_utils.model_statistics(variables).splitlines() == [
      'conv/weights  [30, 50]                    1,500',
      'b             []                              1',
      '1,501 trainable parameters']


def test_exponential_moving_averages_where_they_are_wanted():
  shapes = {**SHAPES, 'net/conv/weights/ExponentialMovingAverage': [1, 2]}
  assignment_map, _ = misc_utils.get_assigment_map_from_checkpoint(
      network(), shapes, use_ema_weights=True)
  assert {source: variable.op.name for source, variable in assignment_map.items()} == {
      'net/conv/weights/ExponentialMovingAverage': 'net/conv/weights',
      'net/logits/weights': 'net/logits/weights'}


def test_a_head_with_a_class_for_the_background_suggests_the_offset():
  _, left_out = choose(network(classes=2))
  assert '--num_classes=3 --labels_offset=-1' in left_out['net/logits/weights']
