"""Each flag reaches what it is about: what a step computes, reads and writes is as they say."""
import functools
import json

import numpy as np
import pytest

from images.models import model_factory, model_utils
from images.preprocessing import preprocessing_factory
from images.utils import dataset_utils, device_utils, file_utils, paisoar, run_utils
from images.utils.tf1 import tf
from tests import command_line
from tests.datasets import make_data
from tests.utils.test_checkpoint_utils import save


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  """The directory of a tiny data set."""
  return command_line.write_dataset(tmp_path_factory.mktemp('data'))


@pytest.fixture
def constant(monkeypatch):
  """A network that says 1 of the first class, -1 of the last and 0 of others, and its head too."""
  @model_utils.network(default_image_size=8)
  def network(images, num_classes, *, is_training):
    del is_training
    says = tf.cast([1.0] + [0.0] * (num_classes - 2) + [-1.0], images.dtype)
    zero = tf.reduce_mean(images, [1, 2, 3])[:, None] * tf.get_variable('w', [], images.dtype) * 0
    return says + zero, {'AuxLogits': says + zero}

  monkeypatch.setitem(model_factory.models_map, 'constant', network)
  monkeypatch.setitem(model_factory.arg_scopes_map, 'constant', lambda weight_decay: {})
  return {'model_name': 'constant', 'preprocessing_name': 'lenet', 'shuffle_buffer_size': 1}


@pytest.mark.parametrize('half_dtype', ['auto', 'bfloat16'])
@pytest.mark.parametrize(('labels_offset', 'right'), [(0, 1), (-1, 0)])
def test_the_loss_and_accuracy_of_a_step(constant, data, tmp_path, caplog, half_dtype,
                                         labels_offset, right):
  """Of labels 0 to 3: the auxiliary head counts 0.4, and the loss is computed in float32."""
  caplog.set_level('INFO', 'absl')
  classes = 10 - labels_offset
  command_line.main(**constant, dataset_dir=data, output_dir=tmp_path, num_classes=classes,
                    labels_offset=labels_offset, use_fp16=half_dtype != 'auto',
                    half_dtype=half_dtype, stop_at_step=1)
  loss = 1.4 * (np.log(np.e + classes - 2 + 1 / np.e) - right / 4)
  assert f'step 1/1  loss {loss:.4f}  accuracy {right / 4:.4f}  ' in caplog.text


def weights(checkpoint):
  """Return the weights and biases of a checkpoint of LeNet, one vector."""
  values = command_line.variables(checkpoint)
  return np.concatenate([values[name].ravel() for name in sorted(values) if 'LeNet' in name])


# Of one class the loss is zero, so that what moves the weights is their decay.
DECAY = {'dataset_name': 'mock', 'num_classes': 1, 'weight_decay': 0.25, 'use_fp16': False,
         'learning_rate': 1.0, 'save_checkpoint_every_n_iters': 1, 'stop_at_step': 2}


def test_weights_decay(tmp_path):
  command_line.main(**DECAY, output_dir=tmp_path, learning_rate_decay_type='fixed')
  start, end = (command_line.variables(tmp_path / f'model.ckpt-{step}') for step in (0, 1))
  np.testing.assert_allclose(end['LeNet/fc3/weights'], 0.75 * start['LeNet/fc3/weights'],
                             rtol=1e-6)


@pytest.mark.parametrize(('flags', 'rates'), [
    ({'learning_rate_decay_type': 'fixed'}, [1, 1]),
    ({'learning_rate_decay_type': 'fixed', 'warmup_steps': 2}, [0.01, 0.1]),
    ({'learning_rate_decay_type': 'polynomial', 'end_learning_rate': 0.5}, [1, 0.75]),
    ({'decay_scheme': 'luong5'}, [1, 1 / 32])])
def test_a_clipped_step_is_as_long_as_the_learning_rate(tmp_path, flags, rates):
  command_line.main(**DECAY, **flags, output_dir=tmp_path, max_gradient_norm=1)
  found = [weights(tmp_path / f'model.ckpt-{step}') for step in (0, 1, 2)]
  np.testing.assert_allclose(np.linalg.norm(np.diff(found, axis=0), axis=1), rates, rtol=1e-3)


def test_a_step_of_micro_batches_and_an_adapting_loss_scale(data, tmp_path):
  command_line.main(dataset_dir=data, output_dir=tmp_path, stop_at_step=3, accumulate_steps=2,
                    loss_scale=0)
  values = command_line.variables(tmp_path / 'model.ckpt-3')
  assert values['images_trained'] == 3 * 2 * 4
  assert values['input_position'].tolist() == [[3 * 2 * 4]]
  assert values['loss_scale/value'] == 2 ** 15


def test_the_seed_decides_the_weights(tmp_path):
  for seed in (1, 2):
    command_line.main(dataset_name='mock', output_dir=tmp_path / str(seed), stop_at_step=1,
                      seed=seed)
  one, other = (weights(tmp_path / str(seed) / 'model.ckpt-0') for seed in (1, 2))
  assert not np.array_equal(one, other)


def test_what_the_input_and_the_optimizer_are_told(data, tmp_path, monkeypatch):
  seen = {}
  def stop(*_, **kwargs):
    seen.update(kwargs)
    raise ZeroDivisionError
  monkeypatch.setattr(paisoar, 'ReplicatedVarsOptimizer', stop)
  training_iterator = dataset_utils.training_iterator
  monkeypatch.setattr(dataset_utils, 'training_iterator',
                      lambda *args, **kwargs: seen.update(kwargs) or training_iterator(
                          *args, **kwargs))
  flags = {'seed': 9, 'shuffle_buffer_size': 2, 'num_parallel_batches': 3,
           'prefetch_buffer_size': 4, 'num_preprocessing_threads': 5, 'datasets_use_caching': True,
           'max_bad_fraction': 0.5, 'accumulate_steps': 6, 'gradient_compression': 'fp16',
           'moving_average_decay': 0.75}
  with pytest.raises(ZeroDivisionError):
    command_line.main(**flags, dataset_dir=data, output_dir=tmp_path)
  assert {name: seen[name] for name in flags} == flags


def test_flags_reach_the_evaluation(data, tmp_path, monkeypatch):
  seen = {}
  def stop(*_, **kwargs):
    seen.update(kwargs)
    raise ZeroDivisionError

  command_line.main(dataset_dir=data, output_dir=tmp_path, stop_at_step=1)
  monkeypatch.setattr(dataset_utils, 'evaluation_iterator', stop)
  flags = {'num_parallel_batches': 3, 'num_preprocessing_threads': 5, 'max_bad_fraction': 0.5,
           'batch_size': 7}
  with pytest.raises(ZeroDivisionError):
    command_line.main(**flags, task_type='evaluate', dataset_dir=data, output_dir=tmp_path)
  assert {name: seen[name] for name in flags} == flags


def test_distortions_and_dropout_are_for_training_alone(data, tmp_path, monkeypatch):
  seen = []
  def watched(function):
    @functools.wraps(function)
    def watching(*args, **kwargs):
      seen.append(kwargs['is_training'])
      return function(*args, **kwargs)
    return watching

  for table in (model_factory.models_map, preprocessing_factory.preprocessing_fn_map):
    monkeypatch.setitem(table, 'lenet', watched(table['lenet']))
  (tmp_path / 'photo.png').write_bytes(make_data.image_bytes(make_data.pixels(8, 8, 3)))
  values = {'dataset_dir': data, 'output_dir': tmp_path, 'stop_at_step': 1,
            'predict_files': tmp_path / 'photo.png'}
  for task_type in ('pretrain', 'evaluate', 'predict', 'export'):
    seen.clear()
    command_line.main(**values, task_type=task_type)
    assert len(seen) >= 2
    assert set(seen) == {task_type == 'pretrain'}


@pytest.mark.parametrize('flag', ['xla', 'log_device_placement'])
def test_the_session_is_made_for_the_flags(tmp_path, monkeypatch, flag):
  function, seen = device_utils.session_config, []

  def watching(*args, **kwargs):
    seen.append((kwargs[flag], kwargs['is_training']))
    return function(*args, **kwargs | {flag: False})

  monkeypatch.setattr(device_utils, 'session_config', watching)
  command_line.main(dataset_name='mock', output_dir=tmp_path, stop_at_step=1, **{flag: True})
  # The last is that of training; others tell what is about to run.
  assert seen == [(True, False)] * (len(seen) - 1) + [(True, True)]
  assert len(seen) >= 2


def test_averages_and_a_class_for_the_background(data, tmp_path, capsys, caplog, monkeypatch):
  """On average the weights say class 1 of 11, the label 0, which three of the images have.

  Predicting writes to no directory.
  """
  values = {'dataset_dir': data, 'num_classes': 11, 'labels_offset': -1, 'stop_at_step': 1}
  command_line.main(**values, output_dir=tmp_path / 'run', moving_average_decay=0.9)
  answers = command_line.variables(tmp_path / 'run' / 'model.ckpt-1')
  answers['LeNet/fc4/weights/ExponentialMovingAverage'] *= 0
  answers['LeNet/fc4/biases/ExponentialMovingAverage'] = np.eye(11)[1]
  path = save(tmp_path, 'answers.ckpt', **answers)
  (tmp_path / 'photo.png').write_bytes(make_data.image_bytes(make_data.pixels(8, 8, 3)))
  values.update(output_dir=tmp_path, ckpt_file_name='answers.ckpt', use_ema_weights=True,
                predict_files=tmp_path / 'photo.png')
  command_line.main(**values, task_type='evaluate')
  result = json.loads((tmp_path / 'evaluation.json').read_text())
  assert (result['checkpoint'], result['top_1_count']) == (path, 3)
  monkeypatch.setattr(file_utils, 'make_writable', lambda _: 1 / 0)
  command_line.main(**values, task_type='predict')
  assert f'{tmp_path}/photo.png: 0 0.2137, background 0.0786' in capsys.readouterr().out
  assert 'names for' not in caplog.text


def test_a_run_that_another_is_writing_to_is_left_alone(tmp_path):
  with run_utils.owned(str(tmp_path)), pytest.raises(RuntimeError, match='another run is writing'):
    command_line.main(dataset_name='mock', output_dir=tmp_path, stop_at_step=1)
  assert not list(tmp_path.glob('model.ckpt-*'))


def test_images_have_the_size_of_the_network_by_default(tmp_path, monkeypatch):
  monkeypatch.delitem(command_line.TINY, 'train_image_size')
  command_line.main(dataset_name='mock', output_dir=tmp_path, stop_at_step=1)
  values = command_line.variables(tmp_path / 'model.ckpt-1')
  assert values['LeNet/fc3/weights'].shape == (28 * 28 // 16 * 64, 1024)
