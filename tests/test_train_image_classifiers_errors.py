import logging
import os
import re

import absl.app
import absl.flags
import pytest

import train_image_classifiers
from images.datasets import tfrecord
from images.utils import error_utils, run_utils
from tests import command_line
from tests.datasets import make_data

TRAIN = 'cifar10_train.tfrecord'


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  """The directory of a tiny whole data set."""
  return command_line.write_dataset(tmp_path_factory.mktemp('data'))


@pytest.fixture(scope='module')
def lenet(data, tmp_path_factory):
  """The directory of a run of two steps."""
  output_dir = tmp_path_factory.mktemp('lenet')
  command_line.main(dataset_dir=data, output_dir=output_dir, stop_at_step=2)
  return output_dir


def records(count, *, image=None, label=None):
  """Return `count` good records; `image` and `label` are those of the sixth."""
  good = make_data.image_bytes(make_data.pixels(8, 8, 3))
  images = [good if k != 5 or image is None else image for k in range(count)]
  labels = [k % 10 if k != 5 or label is None else label for k in range(count)]
  return [tfrecord.make_example(image, label, image_format='png', height=8, width=8)
          for image, label in zip(images, labels)]


def assert_one_line(error, *words):
  """Assert that the last line of an error has the words."""
  last = str(error.value).splitlines()[-1]
  for word in words:
    assert word in last


@pytest.mark.parametrize(('flag', 'value', 'message'), [
    ('model_name', 'resnet_v1_5', "(--model_name): 'resnet_v1_5'; known, nearest first: "
                                  'resnet_v1_50, '),
    ('dataset_name', 'cifar', "(--dataset_name): 'cifar'; known, nearest first: cifar10, "),
    ('preprocessing_name', 'vg', "(--preprocessing_name): 'vg'; known, nearest first: vgg, "),
    ('hooks', 'StopAtStep', "(--hooks): 'StopAtStep'; known, nearest first: StopAtStepHook, "),
    ('train_files', 'no.tfrecord', 'no.tfrecord does not exist; check --dataset_dir and '
                                   '--train_files'),
    ('train_files', 'no*', 'no file matches'),
    ('dataset_dir', '', '--dataset_dir is needed with --dataset_name=cifar10'),
    ('num_classes', 5, f'{TRAIN} has labels from 0 to 9, outside [0, 5): set --num_classes=10'),
    ('trainable_scopes', 'LeNet/fc5', "--trainable_scopes: no variable in 'LeNet/fc5'"),
    ('profile_at_task', 1, '--profile_at_task=1 is no rank of this run: choose one in [0, 1)'),
    ('train_image_size', 3, 'inputs of lenet are 3 x 3 pixels, too small'),
])
def test_wrong_flags(data, tmp_path, flag, value, message):
  with pytest.raises((ValueError, FileNotFoundError)) as error:
    command_line.main(**{'dataset_dir': data, 'output_dir': tmp_path / 'run',
                         'profile_every_n_iters': 2, flag: value})
  assert_one_line(error, message)
  assert not (tmp_path / 'run' / 'run.json').exists()


@pytest.mark.parametrize(('content', 'message'), [
    (b'', 'has no records; leave it out of --train_files'),
    (b'no tfrecord at all, but some text', 'record 0 (from 0) at byte 0 is corrupt'),
    ('truncated', 'the file ends 9 bytes too early; copy the file again'),
])
def test_training_file_that_cannot_be_read(tmp_path, content, message):
  path = tmp_path / TRAIN
  if content == 'truncated':
    make_data.write_records(path, records(10))
    content = path.read_bytes()[:-9]
  path.write_bytes(content)
  with pytest.raises(ValueError) as error:
    command_line.main(dataset_dir=tmp_path, output_dir=tmp_path / 'run')
  assert_one_line(error, str(path), message)


def test_corrupt_record_is_named_when_it_is_met(tmp_path):
  path = make_data.write_records(tmp_path / TRAIN, records(10))
  with open(path, 'r+b') as file:
    file.seek(500)
    file.write(b'xxxx')
  with pytest.raises(error_utils.TrainingError) as error:
    command_line.main(dataset_dir=tmp_path, output_dir=tmp_path / 'run')
  assert_one_line(error, path, 'is corrupt: its data is damaged', 'copy the file again')


@pytest.mark.parametrize(('change', 'message'), [
    ({'label': 12}, 'label 12 is outside [0, 10): set --num_classes, or --labels_offset; file'),
    ({'label': -1}, 'label -1 is outside [0, 10): set --num_classes, or --labels_offset; file'),
    ({'image': b'\x89PNG'}, 'more than the fraction 0.01 of an epoch that --max_bad_fraction'),
])
def test_bad_record(tmp_path, change, message):
  make_data.write_records(tmp_path / TRAIN, records(10, **change))
  with pytest.raises(error_utils.TrainingError) as error:
    command_line.main(dataset_dir=tmp_path, output_dir=tmp_path / 'run')
  assert_one_line(error, message)


@pytest.mark.parametrize(('record', 'message'), [
    (b'', 'a record has no image/encoded: record'),
    (b'hello', 'a record is no tf.train.Example in one of'),
])
def test_record_without_image(tmp_path, record, message):
  path = make_data.write_records(tmp_path / TRAIN, [record] * 10)
  with pytest.raises(error_utils.TrainingError) as error:
    command_line.main(dataset_dir=tmp_path, output_dir=tmp_path / 'run')
  assert_one_line(error, message, path)


def test_undecodable_images_are_skipped_and_counted(tmp_path, caplog):
  make_data.write_records(tmp_path / TRAIN, records(10, image=b'\x89PNG'))
  with caplog.at_level(logging.INFO, 'absl'):
    command_line.main(dataset_dir=tmp_path, output_dir=tmp_path / 'run', max_bad_fraction=0.2,
                      batch_size=10)
  assert '4 undecodable images skipped' in caplog.text


def test_finetune_needs_both_flags(data, lenet, tmp_path):
  for flag, other in (('model_dir', {'ckpt_file_name': 'model.ckpt-2'}),
                      ('ckpt_file_name', {'model_dir': lenet})):
    with pytest.raises(ValueError, match=f'--{flag} is needed with --task_type=finetune'):
      command_line.main(task_type='finetune', dataset_dir=data, output_dir=tmp_path, **other)


def test_finetune_from_a_checkpoint_that_is_missing(data, lenet, tmp_path):
  with pytest.raises(FileNotFoundError) as error:
    command_line.main(task_type='finetune', dataset_dir=data, output_dir=tmp_path,
                      model_dir=lenet, ckpt_file_name='model.ckpt-3')
  assert_one_line(error, f'{lenet}/model.ckpt-3', '--model_dir', '--ckpt_file_name',
                  'model.ckpt-2.index')


def test_finetune_from_a_file_that_is_no_checkpoint(data, tmp_path):
  with pytest.raises(ValueError) as error:
    command_line.main(task_type='finetune', dataset_dir=data, output_dir=tmp_path,
                      model_dir=data, ckpt_file_name=TRAIN)
  assert_one_line(error, TRAIN, 'is no whole TensorFlow checkpoint')


def test_finetune_from_a_checkpoint_of_another_network(data, lenet, tmp_path):
  with pytest.raises(ValueError) as error:
    command_line.main(task_type='finetune', dataset_dir=data, output_dir=tmp_path,
                      model_dir=lenet, ckpt_file_name='model.ckpt-2', model_name='cifarnet')
  assert 'not loaded, not in the checkpoint: CifarNet/conv1/weights' in str(error.value)
  assert_one_line(error, f'nothing in {lenet}/model.ckpt-2', '--model_name')


def test_finetune_with_a_scope_that_does_not_exist(data, lenet, tmp_path):
  with pytest.raises(ValueError) as error:
    command_line.main(task_type='finetune', dataset_dir=data, output_dir=tmp_path,
                      model_dir=lenet, ckpt_file_name='model.ckpt-2',
                      checkpoint_exclude_scopes='LeNet/conv1,LeNet/fc5')
  assert_one_line(error, "--checkpoint_exclude_scopes: no variable in 'LeNet/fc5'", 'LeNet/fc4')


def test_predict_of_a_file_that_is_no_image(data, lenet):
  with pytest.raises(error_utils.TrainingError) as error:
    command_line.main(task_type='predict', output_dir=lenet, predict_files=f'{data}/labels.txt')
  assert_one_line(error, 'Unknown image file format')


def test_out_of_memory(tmp_path):
  with pytest.raises(error_utils.TrainingError) as error:
    command_line.main(dataset_name='mock', output_dir=tmp_path, train_image_size=100000)
  assert_one_line(error, 'out of memory: ', 'Lower --batch_size or --train_image_size')


def test_loss_that_is_not_finite(data, tmp_path):
  with pytest.raises(error_utils.TrainingError) as error:
    command_line.main(dataset_dir=data, output_dir=tmp_path, learning_rate=1e30,
                      save_checkpoint_every_n_iters=1)
  assert_one_line(error, 'step 2: the loss is ', f'{tmp_path}/model.ckpt-1, is whole',
                  'Lower --learning_rate')
  assert not (tmp_path / 'model.ckpt-2.index').exists()


def test_output_dir_that_cannot_be_written(data, tmp_path):
  file = tmp_path / 'file'
  file.touch()
  for output_dir in (file, file / 'run', '/proc/run'):
    with pytest.raises(OSError, match=f'--output_dir={output_dir} cannot be written'):
      command_line.main(dataset_dir=data, output_dir=output_dir)


@pytest.mark.parametrize(('flags', 'message'), [
    ({'num_classes': 12}, 'LeNet/fc4/biases has shape [10] in it, [12] here'),
    ({'optimizer': 'adam'}, 'LeNet/conv1/weights/Adam is not in it'),
    ({'model_name': 'cifarnet'}, 'CifarNet/conv1/weights is not in it'),
])
def test_resume_with_other_flags(data, lenet, flags, message):
  before = (lenet / 'run.json').read_text()
  with pytest.raises(ValueError) as error:
    command_line.main(dataset_dir=data, output_dir=lenet, stop_at_step=4, **flags)
  assert_one_line(error, message, f'see {lenet}/run.json', 'or another --output_dir')
  assert (lenet / 'run.json').read_text() == before


def test_evaluation_of_another_network(data, lenet):
  for flags in ({'model_name': 'cifarnet'}, {'num_classes': 12}):
    with pytest.raises(ValueError) as error:
      command_line.main(task_type='evaluate', dataset_dir=data, output_dir=lenet, **flags)
    assert_one_line(error, 'does not fit the network', 'Check --model_name and --num_classes')


def test_evaluation_without_checkpoint(data, tmp_path):
  with pytest.raises(FileNotFoundError, match=f'no checkpoint in {tmp_path} \\(--model_dir, '):
    command_line.main(task_type='evaluate', dataset_dir=data, output_dir=tmp_path)
  with pytest.raises(ValueError, match='--task_type=evaluate needs --output_dir'):
    command_line.main(task_type='evaluate', dataset_dir=data)


@pytest.fixture
def damaged(data, tmp_path):
  """The directory of a run with the checkpoints 0, 2 and 4."""
  command_line.main(dataset_dir=data, output_dir=tmp_path, save_checkpoint_every_n_iters=2)
  return tmp_path


def test_damaged_checkpoint_is_named_and_the_one_before_is_enough(data, damaged):
  newest = damaged / 'model.ckpt-4.data-00000-of-00001'
  content = newest.read_bytes()
  newest.write_bytes(content[:5000] + b'x' * 100 + content[5100:])
  with pytest.raises(error_utils.TrainingError) as error:
    command_line.main(dataset_dir=data, output_dir=damaged, stop_at_step=6)
  assert_one_line(error, f'{damaged}/model.ckpt-4', 'remove its files')
  os.truncate(newest, 1000)
  with pytest.raises(ValueError) as error:
    command_line.main(dataset_dir=data, output_dir=damaged, stop_at_step=6)
  assert_one_line(error, f'{damaged}/model.ckpt-4', 'Remove its files')

  for path in damaged.glob('model.ckpt-4.*'):
    path.unlink()
  assert run_utils.newest_checkpoint(damaged)[:2] == (f'{damaged}/model.ckpt-2', 2)
  (damaged / 'checkpoint').write_bytes(b'')
  command_line.main(dataset_dir=data, output_dir=damaged, stop_at_step=6)
  assert int(command_line.variables(damaged / 'model.ckpt-6')['global_step']) == 6


def test_command_line_ends_with_the_error(data, tmp_path):
  # The same words as above, but through the whole of Python and absl.
  values = {**command_line.TINY, 'dataset_dir': data, 'output_dir': tmp_path}
  code, output = command_line.run({**values, 'learning_rate': 1e30})
  assert code == 1
  assert 'Lower --learning_rate' in output.splitlines()[-1]


@pytest.mark.parametrize(('flag', 'value', 'message'), [
    ('optimizer', 'adm', '<adadelta|adagrad|adam|'),
    ('task_type', 'train', '<pretrain|finetune|evaluate|predict|export>'),
    ('batch_size', 0, 'not a positive integer'),
    ('num_classes', 0, 'not a positive integer'),
    ('stop_at_step', '1e3', 'invalid literal'),
    ('learning_rate', 'fast', 'could not convert'),
])
def test_values_that_flags_refuse(flag, value, message):
  with pytest.raises(absl.flags.Error, match=f'--{flag}={value}: .*{re.escape(message)}'):
    command_line.main(**{flag: value})


def test_arguments_that_are_no_flags():
  with pytest.raises(absl.app.UsageError, match=r"unexpected arguments \['train'\]: flags start"):
    train_image_classifiers.main(['train_image_classifiers.py', 'train'])
