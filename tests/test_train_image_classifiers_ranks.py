import json
import socket

import pytest

from images.utils.tf1 import tf
from tests import command_line, launch


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  """The directory of a tiny data set."""
  return command_line.write_dataset(tmp_path_factory.mktemp('data'))


def run_two(values, *, wrapper=(), **options):
  """Run the script on two ranks, each in `wrapper`; return (exit code, what both printed)."""
  return command_line.run({**command_line.TINY, 'enable_paisoar': True, **values},
                          launcher=[*launch.horovodrun(2), *wrapper], **options)


@pytest.fixture(scope='module')
def trained(data, tmp_path_factory):
  """The directory of a run of four steps on two ranks, and what it printed."""
  output_dir = tmp_path_factory.mktemp('ranks')
  code, output = run_two({'dataset_dir': data, 'output_dir': output_dir, 'stop_at_step': 4,
                          'log_loss_every_n_iters': 4, 'profile_every_n_iters': 2,
                          'profile_at_task': 1, 'learning_rate_scaling': 'linear'})
  assert code == 0, output
  return output_dir, output


@launch.needs_horovod
def test_train(trained):
  output_dir, output = trained
  assert f'ranks 2, hosts {socket.gethostname()} x 2, transport Horovod ' in output
  assert 'global batch 8, learning rate 0.02, flags set: --dataset_name=cifar10 ' in output
  assert '  learning rate 0.02  ' in output
  assert output.count('step 4/4  loss ') == 1
  assert json.loads((output_dir / 'run.json').read_text())['ranks'] == 2
  saved = command_line.variables(output_dir / 'model.ckpt-4')
  assert saved['input_position'].tolist() == [[4 * 4] * 2]
  assert list(output_dir.glob('timeline-*.json'))
  (path,) = output_dir.glob('events.out.tfevents.*')  # The chief's alone, and whole.
  assert [event.step for event in tf.train.summary_iterator(str(path))
          if event.summary.value] == [1, 4]


def own_folder(tmp_path):
  """Return a wrapper of a rank that runs in a folder of its own, named by its number."""
  return ['bash', '-c', f'cd {tmp_path}/$HOROVOD_RANK; exec "$@"', 'bash']


@launch.needs_horovod
def test_evaluate_counts_as_one_rank_does(trained, data, tmp_path):
  """Only the chief needs to see the checkpoint."""
  for rank in (0, 1):
    (tmp_path / str(rank)).mkdir()
  (tmp_path / '0' / 'run').symlink_to(trained[0])
  # In full precision: what is nearly a tie must not hang on how images are batched.
  values = {'task_type': 'evaluate', 'dataset_dir': data, 'output_dir': tmp_path,
            'use_fp16': False}
  code, output = run_two({**values, 'model_dir': 'run'}, wrapper=own_folder(tmp_path))
  assert code == 0, output
  of_two = json.loads((tmp_path / 'evaluation.json').read_text())
  assert of_two['images'] == 21
  command_line.main(**values, model_dir=trained[0])
  of_one = json.loads((tmp_path / 'evaluation.json').read_text())
  for result, path, paisoar in ((of_two, 'run', True), (of_one, str(trained[0]), False)):
    flags = result['flags']
    assert (flags.pop('model_dir'), flags.pop('enable_paisoar')) == (path, paisoar)
    assert result.pop('checkpoint') == f'{path}/model.ckpt-4'
  assert of_two == of_one


@launch.needs_horovod
def test_error_of_the_chief_alone_ends_both(data, tmp_path):
  file = tmp_path / 'file'
  file.touch()
  code, output = run_two({'dataset_dir': data, 'output_dir': file}, timeout=120)
  assert code != 0
  assert f'--output_dir={file} cannot be written' in output


@launch.needs_horovod
def test_flags_that_differ_end_all_before_the_first_step(data, tmp_path):
  """The launcher of this test gives each rank another seed."""
  code, output = run_two(
      {'dataset_dir': data, 'output_dir': tmp_path},
      wrapper=['bash', '-c', 'exec "$@" --seed=$((HOROVOD_RANK + 5))', 'bash'])
  assert code != 0
  message = ('ValueError: the ranks must have the same flags, but differ: '
             '--seed: 5 on rank 0, 6 on rank 1')
  assert message in output
  assert f'[rank 1] {message}' in output
  assert not list(tmp_path.iterdir())


@launch.needs_horovod
@pytest.mark.parametrize('task_type', ['pretrain', 'evaluate'])
def test_data_that_differ_end_all_before_the_first_step(trained, tmp_path, task_type):
  """Each rank runs in a directory of its own, where the same path is other data."""
  for rank, train in enumerate((40, 44)):
    (tmp_path / str(rank) / 'data').mkdir(parents=True)
    command_line.write_dataset(tmp_path / str(rank) / 'data', train=train)
  output_dir = trained[0] if task_type == 'evaluate' else tmp_path / 'run'
  code, output = run_two({'dataset_dir': 'data', 'output_dir': output_dir, 'task_type': task_type},
                         wrapper=own_folder(tmp_path))
  assert code != 0
  assert 'the ranks must have the same data, but differ: ' in output
  if task_type == 'pretrain':
    assert 'differ: data/cifar10_train' in output
    assert '"40 records, ' in output
    assert '"44 records, ' in output
    assert '; manifest, ' in output
  assert 'manifest, cifar10_train.tfrecord: {"bytes": ' in output


def test_without_horovod(data, tmp_path):
  package = tmp_path / 'horovod'
  package.mkdir()
  (package / '__init__.py').write_text("raise ImportError('no Horovod here')\n")
  values = {**command_line.TINY, 'dataset_dir': data, 'output_dir': tmp_path / 'run'}
  del values['enable_paisoar']
  code, output = command_line.run(values, environment={'PYTHONPATH': str(tmp_path)})
  assert code == 1
  last = output.splitlines()[-1]
  for words in ('ImportError', 'no Horovod here', "'cmake<4' && ", '--enable_paisoar=False'):
    assert words in last
  assert not (tmp_path / 'run').exists()
