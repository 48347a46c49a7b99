"""Bad input ends the process with exit code 1 and one line that says what is wrong."""
import os

import pytest

from images.datasets import tfrecord
from images.utils import resume_utils
from tests import command_line, forked
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


@pytest.fixture(scope='module')
def processes():
  with forked.Processes() as processes:
    yield processes


@pytest.fixture
def fails(processes):
  """Runs a command line in a process that has to fail, with these words in its last line."""
  def run(*words, **values):
    code, output = processes.run(*command_line.arguments({**command_line.TINY, **values}))
    assert code == 1, output
    for word in words:
      assert word in output.splitlines()[-1], output
    return output
  return run


def records(count, *, image=None, label=None):
  """Return `count` good records; `image` and `label` are those of the sixth."""
  good = make_data.image_bytes(make_data.pixels(8, 8, 3))
  images = [good if k != 5 or image is None else image for k in range(count)]
  labels = [k % 10 if k != 5 or label is None else label for k in range(count)]
  return [tfrecord.make_example(image, label, image_format='png', height=8, width=8)
          for image, label in zip(images, labels)]


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
    ('profile_at_task', 1, '--profile_at_task=1 is not a rank of this run: choose one in [0, 1)'),
    ('train_image_size', 3, 'inputs of lenet are 3 x 3 pixels, too small'),
])
def test_wrong_flags(fails, data, tmp_path, flag, value, message):
  fails(message, **{'dataset_dir': data, 'output_dir': tmp_path / 'run',
                    'profile_every_n_iters': 2, flag: value})
  assert not (tmp_path / 'run' / 'run.json').exists()


@pytest.mark.parametrize(('flag', 'value', 'message'), [
    ('optimizer', 'adm', "unknown value: 'adm'; known, nearest first: adam, "),
    ('task_type', 'train', "unknown value: 'train'; known, nearest first: pretrain, "),
    ('batch_size', 0, 'not a positive integer'),
    ('num_classes', 0, 'not a positive integer'),
    ('stop_at_step', '1e3', 'invalid literal'),
    ('learning_rate', 'fast', 'could not convert'),
])
def test_values_that_flags_refuse(fails, flag, value, message):
  refusal, _ = fails('--helpfull', **{flag: value}).splitlines()
  assert f'--{flag}={value}: ' in refusal
  assert message in refusal


def test_arguments_that_are_no_flags(processes):
  code, output = processes.run('train')
  assert code == 1
  assert "unexpected arguments ['train']: flags start with --, and values with spaces" in output


@pytest.mark.parametrize(('content', 'message'), [
    (b'', 'has no records; leave it out of --train_files'),
    (b'no tfrecord at all, but some text', 'record 0 (from 0) at byte 0 is corrupt'),
    ('truncated', 'the file is 9 bytes too short; copy the file again'),
])
def test_training_file_that_cannot_be_read(fails, tmp_path, content, message):
  path = tmp_path / TRAIN
  if content == 'truncated':
    make_data.write_records(path, records(10))
    content = path.read_bytes()[:-9]
  path.write_bytes(content)
  fails(str(path), message, dataset_dir=tmp_path, output_dir=tmp_path / 'run')


def test_corrupt_record_is_named_when_it_is_met(fails, tmp_path):
  path = make_data.write_records(tmp_path / TRAIN, records(10))
  with open(path, 'r+b') as file:
    file.seek(500)
    file.write(b'xxxx')
  fails('TrainingError: ', path, 'is corrupt: its data is damaged', 'copy the file again',
        dataset_dir=tmp_path, output_dir=tmp_path / 'run')


@pytest.mark.parametrize(('change', 'message'), [
    ({'label': 12}, 'label 12 is outside [0, 10): set --num_classes'),
    ({'label': -1}, 'label -1 is outside [0, 10): set --num_classes, or --labels_offset if the '
                    'labels of the data do not start at 0 (1 if they start at 1), or convert the '
                    'data again; file'),
    ({'image': b'\x89PNG'}, 'so far, more than the 0 that --max_bad_fraction allows in the epochs '
                            'begun; each is named above, where warnings of TensorFlow say why '
                            '(hidden if TF_CPP_MIN_LOG_LEVEL is above 1)'),
])
def test_bad_record(fails, tmp_path, change, message):
  make_data.write_records(tmp_path / TRAIN, records(10, **change))
  fails(f'TrainingError: {message}' if 'label' in change else message,
        dataset_dir=tmp_path, output_dir=tmp_path / 'run')


@pytest.mark.parametrize(('record', 'message'), [
    (b'', 'a record has no image/encoded: record'),
    (b'hello', "a record in one of ['{}'] is not a tf.train.Example: "),
])
def test_record_without_image(fails, tmp_path, record, message):
  path = make_data.write_records(tmp_path / TRAIN, [record] * 10)
  fails(f'TrainingError: {message.format(path)}', path, dataset_dir=tmp_path,
        output_dir=tmp_path / 'run')


def test_undecodable_images_are_skipped_and_counted(processes, tmp_path):
  make_data.write_records(tmp_path / TRAIN, records(10, image=b'\x89PNG'))
  values = {**command_line.TINY, 'dataset_dir': tmp_path, 'output_dir': tmp_path / 'run',
            'max_bad_fraction': 0.2, 'batch_size': 10}
  code, output = processes.run(*command_line.arguments(values))
  assert code == 0, output
  assert '4 undecodable images skipped' in output


def test_finetune_needs_both_flags(fails, data, lenet, tmp_path):
  for flag, other in (('model_dir', {'ckpt_file_name': 'model.ckpt-2'}),
                      ('ckpt_file_name', {'model_dir': lenet})):
    fails(f'--{flag} is needed with --task_type=finetune',
          task_type='finetune', dataset_dir=data, output_dir=tmp_path, **other)


def test_pretraining_loads_no_checkpoint(fails, data, lenet, tmp_path):
  fails('--model_dir, --restore_moving_averages given, which --task_type=pretrain does not use',
        'give --task_type=finetune', dataset_dir=data, output_dir=tmp_path / 'run',
        model_dir=lenet, restore_moving_averages=True)
  assert not (tmp_path / 'run').exists()


def test_finetune_from_a_checkpoint_that_is_missing(fails, data, lenet, tmp_path):
  fails(f'{lenet}/model.ckpt-3', '--model_dir', '--ckpt_file_name', 'model.ckpt-2.index',
        task_type='finetune', dataset_dir=data, output_dir=tmp_path / 'run', model_dir=lenet,
        ckpt_file_name='model.ckpt-3')
  assert not (tmp_path / 'run').exists()


def test_finetune_from_a_file_that_is_no_checkpoint(fails, data, tmp_path):
  fails(TRAIN, 'is not a complete TensorFlow checkpoint',
        task_type='finetune', dataset_dir=data, output_dir=tmp_path, model_dir=data,
        ckpt_file_name=TRAIN)


def test_finetune_from_a_checkpoint_of_another_network(fails, data, lenet, tmp_path):
  output = fails(f'nothing in {lenet}/model.ckpt-2', '--model_name',
                 task_type='finetune', dataset_dir=data, output_dir=tmp_path, model_dir=lenet,
                 ckpt_file_name='model.ckpt-2', model_name='cifarnet')
  assert 'not loaded, not in the checkpoint: CifarNet/conv1/weights' in output


def test_finetune_with_a_scope_that_does_not_exist(fails, data, lenet, tmp_path):
  fails("--checkpoint_exclude_scopes: no variable in 'LeNet/fc5'", 'LeNet/fc4',
        task_type='finetune', dataset_dir=data, output_dir=tmp_path, model_dir=lenet,
        ckpt_file_name='model.ckpt-2', checkpoint_exclude_scopes='LeNet/conv1,LeNet/fc5')


def test_predict_of_a_file_that_is_no_image(fails, data, lenet):
  fails('--predict_files: 1 of 1 cannot be used, ', ': convert them to JPEG or PNG, or crop those '
        f'that are too thin: {data}/labels.txt',
        task_type='predict', output_dir=lenet, predict_files=f'{data}/labels.txt')


def test_evaluation_with_too_few_classes(fails, data, lenet):
  fails('cifar10_test.tfrecord has labels from 0 to 9, outside [0, 5): set --num_classes=10',
        task_type='evaluate', output_dir=lenet, dataset_dir=data, num_classes=5)


def test_predict_without_names_of_the_classes(fails, data, lenet, tmp_path):
  fails(f'--dataset_dir={tmp_path} has no labels.txt', 'leave the flag out',
        task_type='predict', output_dir=lenet, dataset_dir=tmp_path, predict_files=f'{data}/*')


def test_out_of_memory(fails, tmp_path):
  fails('out of memory: ', 'Lower --batch_size or --train_image_size',
        dataset_name='mock', output_dir=tmp_path, train_image_size=10**7)


def test_an_update_that_is_not_finite_is_not_saved(fails, data, tmp_path):
  fails('TrainingError: step 1: the update made LeNet/', ' more variables not finite, and was not '
        f'saved; the newest checkpoint, {tmp_path}/model.ckpt-0, is complete. Lower '
        '--learning_rate',
        dataset_dir=data, output_dir=tmp_path, learning_rate=1e39, stop_at_step=1)
  assert not (tmp_path / 'model.ckpt-1.index').exists()


def test_loss_that_is_not_finite(fails, data, tmp_path):
  values = {'dataset_dir': data, 'output_dir': tmp_path, 'save_checkpoint_every_n_iters': 1}
  newest = f'{tmp_path}/model.ckpt-1'
  fails('TrainingError: step 2: the loss is ', f'{newest}, holds the weights that failed: '
        f'remove its files ({newest}.*), then the same command resumes from the one before, '
        'model.ckpt-0. Lower --learning_rate', learning_rate=1e30, **values)
  assert not (tmp_path / 'model.ckpt-2.index').exists()

  for path in tmp_path.glob('model.ckpt-1.*'):
    path.unlink()
  command_line.main(**values, stop_at_step=2)
  assert command_line.variables(tmp_path / 'model.ckpt-2')['input_position'].tolist() == [[2 * 4]]


def test_output_dir_that_cannot_be_written(fails, data, tmp_path):
  file = tmp_path / 'file'
  file.touch()
  for output_dir in (file, file / 'run', '/proc/run'):
    fails(f'--output_dir={output_dir} cannot be written', dataset_dir=data, output_dir=output_dir)


@pytest.mark.parametrize('task_type', ['evaluate', 'export'])
def test_output_dir_of_results_that_cannot_be_written(fails, data, lenet, tmp_path, task_type):
  """Found before the first image: the network of the flags would not fit."""
  output_dir = tmp_path / 'file' / 'results'
  output_dir.parent.touch()
  fails(f'--output_dir={output_dir} cannot be written', task_type=task_type, dataset_dir=data,
        model_dir=lenet, num_classes=12, output_dir=output_dir)


@pytest.mark.parametrize(('flags', 'message'), [
    ({'num_classes': 12}, 'LeNet/fc4/biases has shape [10] in it, [12] here'),
    ({'optimizer': 'adam'}, 'LeNet/conv1/weights/Adam is not in it'),
    ({'model_name': 'cifarnet'}, 'CifarNet/conv1/weights is not in it'),
    ({'dataset_name': 'mock', 'dataset_dir': ''}, 'input_position is in it, but not here'),
])
def test_resume_with_other_flags(fails, data, lenet, flags, message):
  before = (lenet / 'run.json').read_text()
  fails(message, f'see {lenet}/run.json', 'or another --output_dir',
        output_dir=lenet, stop_at_step=4, **{'dataset_dir': data, **flags})
  assert (lenet / 'run.json').read_text() == before


def test_evaluation_of_another_network(fails, data, lenet):
  for flags in ({'model_name': 'cifarnet'}, {'num_classes': 12}):
    fails('does not fit the network', 'Check --model_name and --num_classes',
          task_type='evaluate', dataset_dir=data, output_dir=lenet, **flags)


def test_evaluation_without_checkpoint(fails, data, tmp_path):
  fails(f'no checkpoint in {tmp_path} (--output_dir, ',
        task_type='evaluate', dataset_dir=data, output_dir=tmp_path)
  fails('--task_type=evaluate needs --output_dir', task_type='evaluate', dataset_dir=data)


@pytest.fixture
def damaged(data, tmp_path):
  """The directory of a run with the checkpoints 0, 2 and 4."""
  command_line.main(dataset_dir=data, output_dir=tmp_path, save_checkpoint_every_n_iters=2)
  return tmp_path


def test_damaged_checkpoint_is_named_and_the_one_before_is_enough(fails, data, damaged):
  newest = damaged / 'model.ckpt-4.data-00000-of-00001'
  content = newest.read_bytes()
  newest.write_bytes(content[:5000] + b'x' * 100 + content[5100:])
  values = {'dataset_dir': data, 'output_dir': damaged, 'stop_at_step': 6}
  fails('TrainingError: ', f'or remove them ({damaged}/model.ckpt-4.*)', **values)
  os.truncate(newest, 1000)
  fails('ValueError: ', f'{damaged}/model.ckpt-4', 'Remove its files', **values)

  for path in damaged.glob('model.ckpt-4.*'):
    path.unlink()
  assert resume_utils.newest_checkpoint(damaged)[:2] == (f'{damaged}/model.ckpt-2', 2)
  (damaged / 'checkpoint').write_bytes(b'')
  command_line.main(**values)
  assert int(command_line.variables(damaged / 'model.ckpt-6')['global_step']) == 6
