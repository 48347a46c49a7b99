import json
import os
import re
import shutil
import signal
import socket

import numpy as np
import pytest

import train_image_classifiers
from images.datasets import dataset_factory
from images.models import model_factory
from images.utils import (
    agreement_utils,
    cluster_utils,
    device_utils,
    inference_utils,
    resume_utils,
)
from images.utils.tf1 import tf
from tests import command_line
from tests.utils.test_checkpoint_utils import save

STEPS = 5


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  """The directory of a tiny data set."""
  return command_line.write_dataset(tmp_path_factory.mktemp('data'))


@pytest.fixture(scope='module')
def lenet(data, tmp_path_factory):
  """The directory of a run of five steps, and what it printed."""
  output_dir = tmp_path_factory.mktemp('lenet')
  code, output = command_line.run({
      **command_line.TINY, 'dataset_dir': data, 'output_dir': output_dir, 'stop_at_step': STEPS,
      'log_loss_every_n_iters': 2, 'profile_every_n_iters': 2, 'save_checkpoint_every_n_iters': 2,
      'max_checkpoints_to_keep': 2, 'print_model_statistics': True})
  assert code == 0, output
  return output_dir, output


def test_xla_compiles(data, tmp_path):
  code, output = command_line.run(
      {**command_line.TINY, 'dataset_dir': data, 'output_dir': tmp_path, 'stop_at_step': 1,
       'xla': True}, environment={'TF_CPP_MIN_LOG_LEVEL': '0'})
  assert code == 0, output
  assert 'Compiled cluster using XLA!' in output


def test_xla_crops_decoded_images(tmp_path):
  code, output = command_line.run(
      {**command_line.TINY, 'dataset_name': 'mock', 'preprocessing_name': 'vgg_16',
       'train_image_size': 32, 'output_dir': tmp_path, 'stop_at_step': 1, 'xla': True})
  assert code == 0, output


def test_log(lenet, data):
  output_dir, output = lenet
  for words in ('pretrain lenet on cifar10: images 40, files 1',
                f'ranks 1, hosts {socket.gethostname()} x 1, transport none, one process, ',
                'global batch 4, learning rate 0.01, flags set: --dataset_name=cifar10 ',
                f'steps 0 to 5, a new run, run directory {output_dir}',
                'LeNet/conv1/weights', 'trainable parameters',
                f'done at step 5 of 5, checkpoint {output_dir}/model.ckpt-5'):
    assert words in output
  lines = re.findall(r'step (\d)/5  loss \d+\.\d{4}  accuracy \d\.\d{4}  learning rate [\d.e-]+  '
                     r'[\d,]+\.\d images/s  0:00:\d\d left', output)
  assert lines == ['2', '4', '5']


def test_checkpoints_are_float32(lenet):
  output_dir, _ = lenet
  found = sorted(path.stem for path in output_dir.glob('model.ckpt-*.index'))
  assert found == ['model.ckpt-4', 'model.ckpt-5']
  values = command_line.variables(output_dir / 'model.ckpt-5')
  assert values.pop('global_step') == STEPS
  assert values.pop('images_trained') == STEPS * 4
  assert values.pop('input_position').tolist() == [[STEPS * 4]]
  assert {value.dtype for value in values.values()} == {np.dtype('float32')}


def test_run_directory(lenet, data):
  output_dir, _ = lenet
  record = json.loads((output_dir / 'run.json').read_text())
  assert record['step'] == record['total_steps'] == STEPS
  assert record['flags']['model_name'] == 'lenet'
  assert record['flags']['weight_decay'] == 0.00004
  assert record['files'] == {f'{data}/cifar10_train.tfrecord': 40}
  assert record['versions']['tensorflow'] == tf.__version__
  assert record['ranks'] == 1
  timelines = sorted(output_dir.glob('timeline-*.json'))
  assert timelines
  assert all(json.loads(path.read_text())['traceEvents'] for path in timelines)


def steps_of_tags(output_dir):
  """Return a dict from the names of the numbers in the event file of a run to their steps."""
  (path,) = output_dir.glob('events.out.tfevents.*')
  steps = {}
  for event in tf.train.summary_iterator(str(path)):
    for value in event.summary.value:
      steps.setdefault(value.tag, []).append(event.step)
  return steps


def test_events(lenet):
  assert {'loss', 'accuracy', 'learning_rate', 'loss_scale'} <= steps_of_tags(lenet[0]).keys()


def graph_of(output_dir):
  """Return the nodes of the graph that a run has written for TensorBoard, as it was run."""
  (path,) = output_dir.glob('events.out.tfevents.*')
  *_, graph = (event.graph_def for event in tf.train.summary_iterator(str(path))
               if event.HasField('graph_def'))
  return tf.GraphDef.FromString(graph).node


def test_pixels_are_bytes_until_they_reach_the_device(lenet):
  output_dir, _ = lenet
  nodes = graph_of(output_dir)
  types = {node.op: node.attr['output_types'].list.type for node in nodes}
  assert tf.uint8.as_datatype_enum in types['IteratorGetNext']
  casts = [node.device for node in nodes
           if node.op == 'Cast' and node.attr['SrcT'].type == tf.uint8.as_datatype_enum]
  assert casts == ['']  # TensorFlow places it, on a GPU if there is one.


def test_evaluate(lenet, data, tmp_path):
  """The labels of the 21 images are 0 to 9, 0 to 9, and 0."""
  output_dir, _ = lenet
  command_line.main(task_type='evaluate', dataset_dir=data, output_dir=output_dir)
  result = json.loads((output_dir / 'evaluation.json').read_text())
  assert (result['images'], result['skipped'], result['step']) == (21, 0, STEPS)
  assert result['checkpoint'] == f'{output_dir}/model.ckpt-5'
  assert result['flags']['dataset_dir'] == str(data)

  # The network of a checkpoint elsewhere answers 9, 8, 0, 7, 6, whatever it sees.
  answers = dict(command_line.variables(output_dir / 'model.ckpt-5'))
  answers['LeNet/fc4/weights'] *= 0
  answers['LeNet/fc4/biases'] = np.array([3, -1, -2, -3, -4, -5, 1, 2, 4, 5], np.float32)
  (tmp_path / 'answers').mkdir()
  save(tmp_path / 'answers', 'model.ckpt-5', **answers)
  for batch_size in (4, 21):
    command_line.main(task_type='evaluate', dataset_dir=data, batch_size=batch_size,
                      output_dir=tmp_path / 'new' / 'results', model_dir=tmp_path / 'answers',
                      ckpt_file_name='model.ckpt-5.index')
    result = json.loads((tmp_path / 'new' / 'results' / 'evaluation.json').read_text())
    assert (result['top_1_count'], result['top_5_count'], result['images']) == (2, 11, 21)
    assert (result['top_1'], result['top_5']) == (2 / 21, 11 / 21)


@pytest.mark.parametrize('task_type', ['evaluate', 'pretrain'])
def test_flags_that_the_run_did_not_have_are_named(lenet, data, tmp_path, caplog, task_type):
  output_dir = tmp_path / 'run'
  shutil.copytree(lenet[0], output_dir)
  values = {'task_type': task_type, 'dataset_dir': data, 'output_dir': output_dir,
            'stop_at_step': STEPS + 1}
  command_line.main(**values, log_loss_every_n_iters=2, preprocessing_name='cifarnet')
  assert f'changed since {output_dir}/run.json was written: ' in caplog.text
  assert "--preprocessing_name is 'cifarnet', was None" in caplog.text
  assert ('--stop_at_step is 6, was 5' in caplog.text) == (task_type == 'pretrain')


def test_finetune_starts_from_the_checkpoint(lenet, data, tmp_path, caplog):
  output_dir, _ = lenet
  caplog.set_level('INFO', 'absl')
  command_line.main(
      task_type='finetune', dataset_dir=data, output_dir=tmp_path, model_dir=output_dir,
      ckpt_file_name='model.ckpt-5', num_classes=12, checkpoint_exclude_scopes='LeNet/fc3',
      trainable_scopes='LeNet/fc3,LeNet/fc4', stop_at_step=2, moving_average_decay=0.9)
  source = command_line.variables(output_dir / 'model.ckpt-5')
  start, end = (command_line.variables(tmp_path / f'model.ckpt-{step}') for step in (0, 2))
  for layer in ('conv1', 'conv2'):
    name = f'LeNet/{layer}/weights'
    np.testing.assert_array_equal(start[name], source[name])
    np.testing.assert_array_equal(end[name], source[name])
  assert not np.array_equal(start['LeNet/fc3/weights'], source['LeNet/fc3/weights'])
  assert not np.array_equal(start['LeNet/fc3/weights'], end['LeNet/fc3/weights'])
  assert start['LeNet/fc4/biases'].shape == (12,)
  averages = [name for name in start if f'{name}/ExponentialMovingAverage' in start]
  assert len(averages) == 8
  for name in averages:  # They begin with what was loaded.
    np.testing.assert_array_equal(start[f'{name}/ExponentialMovingAverage'], start[name])
  command_line.main(task_type='evaluate', dataset_dir=data, output_dir=tmp_path, num_classes=12,
                    eval_files='*.tfrecord', use_ema_weights=True)
  assert json.loads((tmp_path / 'evaluation.json').read_text())['step'] == 2
  record = json.loads((tmp_path / 'finetune.json').read_text())
  assert record == {
      'checkpoint': f'{output_dir}/model.ckpt-5',
      'loaded': {f'LeNet/{name}': f'LeNet/{name}' for name in (
          'conv1/weights', 'conv1/biases', 'conv2/weights', 'conv2/biases')},
      'not loaded': {
          **dict.fromkeys(['LeNet/fc3/weights', 'LeNet/fc3/biases'],
                          'in --checkpoint_exclude_scopes'),
          'LeNet/fc4/weights': 'shape [1024, 10] in the checkpoint, [1024, 12] here',
          'LeNet/fc4/biases': 'shape [10] in the checkpoint, [12] here'}}
  assert f'      every variable: {tmp_path}/finetune.json\n' in caplog.text
  assert '4 variables loaded from' in caplog.text
  assert '2 not loaded, in --checkpoint_exclude_scopes: LeNet/fc3/weights' in caplog.text
  assert 'not loaded, shape [10] in the checkpoint, [12] here: LeNet/fc4/biases' in caplog.text


def test_resumed_finetune_needs_no_checkpoint_of_another_run(lenet, data, tmp_path, caplog):
  pretrained, run = tmp_path / 'pretrained', tmp_path / 'run'
  shutil.copytree(lenet[0], pretrained)
  finetune = {'task_type': 'finetune', 'dataset_dir': data, 'output_dir': run,
              'model_dir': pretrained, 'ckpt_file_name': 'model.ckpt-5'}
  command_line.main(**finetune, stop_at_step=1)
  shutil.rmtree(pretrained)
  command_line.main(**finetune, stop_at_step=2)
  assert (run / 'model.ckpt-2.index').exists()
  assert 'was not finetuned' not in caplog.text


def test_a_finetune_in_the_directory_of_another_run_says_that_it_loads_nothing(lenet, data,
                                                                               tmp_path, caplog):
  shutil.copytree(lenet[0], tmp_path / 'run')
  command_line.main(task_type='finetune', dataset_dir=data, output_dir=tmp_path / 'run',
                    model_dir=lenet[0], ckpt_file_name='model.ckpt-5', stop_at_step=6)
  assert (f'{tmp_path}/run holds a run that was not finetuned from a checkpoint, and is resumed: '
          f'to load model.ckpt-5 of {lenet[0]} choose another --output_dir') in caplog.text


def test_a_finetune_loads_what_a_network_has_made_without_tf_slim(data, tmp_path, monkeypatch):
  def plain(images, num_classes, is_training):
    del is_training
    weights = tf.get_variable('plain', [3, num_classes], images.dtype)
    average = tf.get_variable('moving_mean', initializer=[8.0], trainable=False)
    tf.add_to_collection(tf.GraphKeys.UPDATE_OPS, average.assign_sub(average / 2))
    tf.get_variable('count', initializer=1, trainable=False)
    tf.summary.scalar('of_the_network', average[0])
    return tf.reduce_mean(images, [1, 2]) @ weights, {}

  monkeypatch.setitem(model_factory.models_map, 'plain', plain)
  monkeypatch.setitem(model_factory.arg_scopes_map, 'plain', model_factory.arg_scopes_map['lenet'])
  values = {'model_name': 'plain', 'preprocessing_name': 'cifarnet', 'dataset_dir': data,
            'stop_at_step': 1}
  command_line.main(**values, output_dir=tmp_path / 'a', moving_average_decay=0.05)
  command_line.main(**values, output_dir=tmp_path / 'b', task_type='finetune',
                    model_dir=tmp_path / 'a', ckpt_file_name='model.ckpt-1',
                    restore_moving_averages=True)
  first, then = (command_line.variables(tmp_path / name)
                 for name in ('a/model.ckpt-1', 'b/model.ckpt-0'))
  np.testing.assert_array_equal(first['plain'], then['plain'])
  assert (first['moving_mean'], then['moving_mean']) == (4, 4)
  assert first['moving_mean/ExponentialMovingAverage'] == pytest.approx(0.05 * 8 + 0.95 * 4)
  assert 'count/ExponentialMovingAverage' not in first
  record = json.loads((tmp_path / 'b' / 'finetune.json').read_text())
  assert record['not loaded'] == {'count': 'not trainable'}
  command_line.main(**{**values, 'stop_at_step': 4}, output_dir=tmp_path / 'c',
                    log_loss_every_n_iters=2)
  assert steps_of_tags(tmp_path / 'c')['of_the_network'] == [1, 3]
  monkeypatch.delitem(command_line.TINY, 'train_image_size')
  with pytest.raises(ValueError, match='plain has no attribute default_image_size: set it, or'):
    command_line.main(**values)


def test_an_exported_network_has_no_auxiliary_head_and_the_labels_of_the_data(lenet, monkeypatch):
  seen = {}
  get_network_fn = model_factory.get_network_fn

  def see_and_get(*args, **kwargs):
    seen.update(kwargs)
    return get_network_fn(*args, **kwargs)

  monkeypatch.setattr(model_factory, 'get_network_fn', see_and_get)
  monkeypatch.setattr(inference_utils, 'export', lambda *_, **kwargs: seen.update(kwargs))
  command_line.main(task_type='export', output_dir=lenet[0], labels_offset=3)
  assert (seen['has_auxiliary_head'], seen['labels_offset']) == (False, 3)


def test_nothing_is_left_to_do(lenet, data, caplog):
  output_dir, _ = lenet
  caplog.set_level('INFO', 'absl')
  for stop_at_step in (STEPS, STEPS - 3):
    command_line.main(dataset_dir=data, output_dir=output_dir, stop_at_step=stop_at_step)
    assert (f'has reached step 5 of {stop_at_step}, nothing is left to do: raise --stop_at_step'
            in caplog.text)
  command_line.main(dataset_dir=data, output_dir=output_dir, stop_at_step=100, num_epochs=1,
                    num_sample_per_epoch=20)
  assert 'has reached step 5 of 5, nothing is left to do: raise --num_epochs' in caplog.text


def test_a_batch_larger_than_the_data_set_one_class_and_paths_with_spaces(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  command_line.write_dataset(tmp_path / 'my data', train=1, test=1)
  values = {'dataset_dir': 'my data', 'num_classes': 1, 'output_dir': 'my run', 'batch_size': 7}
  command_line.main(**values, stop_at_step=2, num_epochs=20)
  command_line.main(**values, task_type='evaluate')
  assert json.loads((tmp_path / 'my run' / 'evaluation.json').read_text())['top_1'] == 1


def test_a_run_without_hooks_says_that_nothing_is_saved(lenet, data, tmp_path, caplog):
  shutil.copytree(lenet[0], tmp_path / 'resumed')
  for output_dir, stop_at_step in (('new', 1), ('resumed', STEPS + 1)):
    caplog.clear()
    command_line.main(dataset_dir=data, output_dir=tmp_path / output_dir, hooks='',
                      stop_at_step=stop_at_step)
    assert 'done, without a checkpoint: --hooks has no CheckpointSaverHook' in caplog.text
    assert 'stopped at step' not in caplog.text


@pytest.mark.parametrize(('values', 'words'), [
    ({'model_name': 'lanet'}, 'unknown model'), ({'hooks': 'LogingTensorHook'}, 'unknown hook')])
def test_a_misspelled_name_makes_no_directory(data, tmp_path, monkeypatch, values, words):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(ValueError, match=words):
    command_line.main(dataset_dir=data, **values)
  assert os.listdir(tmp_path) == []


def test_what_ranks_must_agree_on(data, tmp_path, monkeypatch):
  facts = {}
  monkeypatch.setattr(agreement_utils, 'check', facts.__setitem__)
  command_line.main(dataset_dir=data, output_dir=tmp_path, stop_at_step=1)
  assert list(facts) == ['code', 'flags', 'data', 'variables']
  assert 'images/models/lenet.py' in facts['code']
  assert facts['flags']['--batch_size'] == 4
  size = os.path.getsize(f'{data}/cifar10_train.tfrecord')
  assert facts['data'][f'{data}/cifar10_train.tfrecord'] == f'40 records, {size} bytes'
  assert facts['data']['manifest, cifar10_test.tfrecord']['records'] == 21
  assert facts['data']['manifest, classes'] == command_line.DIGITS
  assert facts['variables']['LeNet/conv1/weights'] == '[5, 5, 3, 32] float32, trainable'
  assert facts['variables']['global_step'] == '[] int64'


@pytest.mark.parametrize('task_type', ['predict', 'export'])
def test_what_the_chief_does_alone(tmp_path, monkeypatch, task_type):
  """Another rank does not even look for a checkpoint."""
  with pytest.raises(FileNotFoundError):
    command_line.main(task_type=task_type, output_dir=tmp_path)
  monkeypatch.setattr(cluster_utils, 'rank', lambda: 1)
  command_line.main(task_type=task_type, output_dir=tmp_path)
  assert not list(tmp_path.iterdir())


def test_only_the_chief_needs_to_see_what_a_finetune_loads(monkeypatch):
  monkeypatch.setattr(dataset_factory, 'get_data_sources', lambda *_: 1 / 0)  # Comes next.
  values = {'task_type': 'finetune', 'model_dir': '/absent', 'ckpt_file_name': 'model.ckpt'}
  with pytest.raises(FileNotFoundError, match='no checkpoint /absent/model.ckpt: check'):
    command_line.main(**values)
  monkeypatch.setattr(cluster_utils, 'rank', lambda: 1)
  with pytest.raises(ZeroDivisionError):
    command_line.main(**values)


def test_a_checkpoint_that_another_run_has_saved_since_the_plan(lenet, data, tmp_path,
                                                                monkeypatch):
  run = shutil.copytree(lenet[0], tmp_path / 'run')

  def save_another(_):
    for path in run.glob('model.ckpt-5.*'):
      shutil.copy(path, str(path).replace('-5.', '-6.'))
    (run / 'checkpoint').write_text('model_checkpoint_path: "model.ckpt-6"')

  monkeypatch.setattr(train_image_classifiers, 'report_start', save_another)
  with pytest.raises(RuntimeError, match=f'another run has just saved {run}/model.ckpt-6: start '):
    command_line.main(dataset_dir=data, output_dir=run, stop_at_step=9)


def test_a_run_that_has_made_no_step_has_stopped(lenet, data, tmp_path, monkeypatch, caplog):
  """As one whose steps an overflow has made void, until a signal comes."""
  run = shutil.copytree(lenet[0], tmp_path / 'run')
  found = resume_utils.newest_checkpoint(str(run))
  monkeypatch.setattr(resume_utils, 'newest_checkpoint', lambda _: found)
  caplog.set_level('INFO', 'absl')
  command_line.main(dataset_dir=data, output_dir=run, stop_at_step=6)
  assert f'stopped at step 5 of 6, checkpoint {run}/model.ckpt-5' in caplog.text
  assert 'CheckpointSaverHook' not in caplog.text.split('resuming')[1]


def test_signals_are_as_before_once_training_has_ended(tmp_path):
  before = signal.getsignal(signal.SIGINT)
  command_line.main(dataset_name='mock', output_dir=tmp_path, stop_at_step=1)
  assert signal.getsignal(signal.SIGINT) is before
  assert signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN


def test_what_is_trainable_is_printed(tmp_path, caplog):
  caplog.set_level('INFO', 'absl')
  command_line.main(dataset_name='mock', output_dir=tmp_path, stop_at_step=1,
                    trainable_scopes='LeNet/fc4', print_model_statistics=True)
  assert '10,250 trainable parameters' in caplog.text
  assert 'LeNet/conv1' not in caplog.text


def test_epochs_end_training_too(data, tmp_path, caplog):
  caplog.set_level('INFO', 'absl')
  command_line.main(dataset_dir=data, output_dir=tmp_path, batch_size=20, num_epochs=1,
                    stop_at_step=100)
  assert (tmp_path / 'model.ckpt-2.index').exists()
  assert '--num_epochs=1 ends training before --stop_at_step=100' in caplog.text


FLOAT16 = '--loss_scale=0 finds and adapts the scale'


@pytest.mark.parametrize(('values', 'warning'), [
    ({'gradient_compression': 'fp16'}, FLOAT16), ({'half_dtype': 'float16'}, FLOAT16),
    ({'half_dtype': 'float16', 'loss_scale': 0, 'warmup_steps': 1}, None),
    ({'use_fp16': False, 'learning_rate': 1e-4, 'learning_rate_decay_type': 'fixed'}, None),
    ({'learning_rate': 1e-4}, 'the learning rate never decays: lower --end_learning_rate=0.0001'),
    ({'optimizer': 'ftrl'}, 'weights are lost: lower --ftrl_initial_accumulator_value=0.1, with'),
    ({'optimizer': 'ftrl', 'ftrl_initial_accumulator_value': 0, 'ftrl_learning_rate_power': 0},
     'weights are lost: lower --ftrl_initial_accumulator_value=0, with --ftrl_learning_rate_power'),
    ({'optimizer': 'ftrl', 'ftrl_initial_accumulator_value': 0}, None),
    ({'warmup_steps': 2}, 'the learning rate is never reached: --warmup_steps=2'),
    ({'hooks': 'LoggingTensorHook'}, 'nothing will be saved: --hooks has no CheckpointSaverHook'),
    ({'hooks': 'CheckpointSaverHook', 'profile_every_n_iters': 1}, 'has no ProfilerHook')])
def test_flags_that_do_less_than_one_may_expect(tmp_path, caplog, monkeypatch, values, warning):
  monkeypatch.setattr(train_image_classifiers, 'build_training', lambda *_: 1 / 0)
  monkeypatch.setattr(device_utils, 'cpu_flags', lambda: {'avx512_bf16'})
  with pytest.raises(ZeroDivisionError):
    command_line.main(dataset_name='mock', output_dir=tmp_path, stop_at_step=2, **values)
  warnings = [record.getMessage() for record in caplog.records if record.levelname == 'WARNING']
  assert len(warnings) == (warning is not None)
  assert all(warning in words for words in warnings)


def test_a_processor_without_half_precision_is_told_of_once(tmp_path, caplog, monkeypatch):
  monkeypatch.setattr(device_utils, 'cpu_flags', lambda: {'avx2'})
  command_line.main(dataset_name='mock', output_dir=tmp_path, stop_at_step=1, use_fp16=True)
  assert caplog.text.count('no half-precision instructions') == 1


@pytest.mark.parametrize(('dtype', 'own'), [('float16', 2), ('bfloat16', 1)])
def test_small_outputs_have_other_gradients_in_bfloat16(tmp_path, dtype, own):
  command_line.main(dataset_name='mock', output_dir=tmp_path, stop_at_step=1, use_fp16=True,
                    half_dtype=dtype, loss_scale=0, train_image_size=20)
  assert [node.op for node in graph_of(tmp_path)].count('Conv2DBackpropFilter') == own


def test_without_output_dir_every_run_has_a_new_one(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  command_line.main(dataset_name='mock', stop_at_step=1)
  (path,) = (tmp_path / 'runs').iterdir()
  assert re.fullmatch(r'\d{8}-\d{6}-lenet-mock', path.name)
  assert (path / 'model.ckpt-1.index').exists()


@pytest.fixture(scope='module')
def resnet(data, tmp_path_factory):
  """The directory of a run of the documented pretrain command, and what it printed."""
  output_dir = tmp_path_factory.mktemp('resnet')
  code, output = command_line.run({
      'task_type': 'pretrain', 'enable_paisoar': False, 'dataset_name': 'cifar10',
      'train_files': 'cifar10_train.tfrecord', 'dataset_dir': data, 'model_name': 'resnet_v1_50',
      'train_image_size': 32, 'batch_size': 2, 'stop_at_step': 2, 'output_dir': output_dir})
  assert code == 0, output
  yield output_dir, output
  shutil.rmtree(output_dir)


@pytest.mark.slow
def test_documented_commands(resnet, data, tmp_path):
  model_dir, _ = resnet
  assert 'resnet_v1_50/logits/weights/RMSProp' in command_line.variables(model_dir / 'model.ckpt-2')
  code, output = command_line.run({
      'task_type': 'finetune', 'enable_paisoar': False, 'dataset_name': 'cifar10',
      'train_files': 'cifar10_train.tfrecord', 'dataset_dir': data, 'model_name': 'resnet_v1_50',
      'model_dir': model_dir, 'ckpt_file_name': 'model.ckpt-2', 'num_classes': 10,
      'train_image_size': 32, 'batch_size': 2, 'stop_at_step': 1, 'output_dir': tmp_path})
  assert code == 0, output
  # 53 convolutions with gamma and beta; statistics of each; weights and biases of the head.
  assert f'159 variables loaded from {model_dir}/model.ckpt-2' in output
  assert ('106 not loaded, moving average, --restore_moving_averages loads it: '
          'resnet_v1_50/conv1/BatchNorm/moving_mean, ') in output
  assert '1 not loaded, shape [1, 1, 2048, 100] in the checkpoint, [1, 1, 2048, 10] here' in output
  assert 'step 1/1  loss ' in output
  shutil.rmtree(tmp_path)
