"""How ranks end that are killed, fail, are asked to stop, or stand still: all, and resumable.

No launcher ends the others here: each rank has to come to its own end.
"""
import os
import signal
import sys

import pytest

from images.utils import process_utils, resume_utils
from tests import command_line, launch

ENDLESS = {**command_line.TINY, 'enable_paisoar': True, 'stop_at_step': 10**6, 'num_epochs': 10**6,
           'log_loss_every_n_iters': 10**6, 'save_checkpoint_every_n_iters': 100}
HOST = os.uname().nodename
ANOTHER = 'TrainingError: another rank has ended; its own output gives the reason; '

pytestmark = [pytest.mark.slow, launch.needs_horovod]


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  """The directory of a tiny data set."""
  return command_line.write_dataset(tmp_path_factory.mktemp('data'))


def train(data, output_dir, *wrong, **values):
  """Return the Ranks of an endless training run.

  Args:
    wrong: what one of them does wrong: rank, how and where, as of tests/misbehave.py.
    **values: flags, over those of ENDLESS.
  """
  script = ['-m', 'tests.misbehave', *map(str, wrong)] if wrong else [str(command_line.SCRIPT)]
  values = {**ENDLESS, 'dataset_dir': data, 'output_dir': output_dir, **values}
  return launch.Ranks([sys.executable, *script, *command_line.arguments(values)])


def signal_rank(run, rank, number, output_dir):
  """Send a rank a signal when the checkpoint of step 100 is whole."""
  command_line.wait_for(output_dir / 'model.ckpt-200.index', run.processes[0])
  run.processes[rank].send_signal(number)


def check_lines(output):
  """Every line of rank 1 has its number, those of TensorFlow and of tracebacks too."""
  lines = output.splitlines()
  assert lines
  assert [line for line in lines if not line.startswith('[rank 1] ')] == []


@pytest.mark.parametrize('rank', [0, 1])
def test_a_killed_rank_ends_the_other(data, tmp_path, rank):
  with train(data, tmp_path) as run:
    signal_rank(run, rank, signal.SIGKILL, tmp_path)
    code, output = run.end(1 - rank)
  assert code == 1
  path, step, *_ = resume_utils.newest_checkpoint(str(tmp_path))
  assert step >= 100
  assert f'{ANOTHER}the newest checkpoint, {path}, is complete.' in output.splitlines()[-1]
  if rank == 0:
    check_lines(output)
    command_line.main(**{**ENDLESS, 'dataset_dir': data, 'output_dir': tmp_path,
                         'enable_paisoar': False, 'stop_at_step': step + 1})
    resumed = command_line.variables(tmp_path / f'model.ckpt-{step + 1}')
    assert resumed['global_step'] == step + 1


IN_TRAINING = 'images.utils.stop_utils.StopAtSignalHook.after_run'


@pytest.mark.parametrize(('how', 'where', 'reason', 'of_the_chief'), [
    ('raise', IN_TRAINING, 'OSError: this rank has failed', ANOTHER),
    ('nan', 'images.utils.precision_utils.regularization_loss',
     'TrainingError: step 1: the loss is nan on rank 1; ',
     'TrainingError: step 1: the loss is nan on rank 1; ')])
def test_a_rank_that_fails_ends_the_other(data, tmp_path, how, where, reason, of_the_chief):
  with train(data, tmp_path, 1, how, where) as run:
    (chief_code, chief), (code, output) = run.end(0), run.end(1)
  assert (chief_code, code) == (1, 1)
  assert of_the_chief in chief.splitlines()[-1]
  assert reason in output.splitlines()[-1]
  check_lines(output)


@pytest.mark.parametrize(('wrong', 'words'), [
    ((1, 'hang', 'images.utils.cluster_utils._join'),
     'other ranks have not started; the same command resumes from the newest checkpoint, if any'),
    ((0, 'freeze', 'images.utils.resume_utils.resume_point'), f'rank 0 on {HOST} '
     'does not answer; the same command resumes from the newest checkpoint, if any'),
    ((1, 'hang', 'images.utils.stall_utils.heartbeat'), f'rank 1 on {HOST} '
     'waits for images or has not begun the step that the others are in; the newest checkpoint, '),
    ((1, 'freeze', 'train_image_classifiers.report_end'),
     f'rank 1 on {HOST} does not answer; its work is done')])
def test_a_rank_that_stands_still_ends_the_other_and_is_named(data, tmp_path, wrong, words):
  """Before it joins the others, before training, when it opens a file, and at its end."""
  with train(data, tmp_path, *wrong, stall_limit_secs=6, stop_at_step=3) as run:
    other = 1 - wrong[0]
    code, output = run.end(other)
  assert code == 70, output
  assert (f'rank {other} on {HOST}: no progress for 6 s, the limit of --stall_limit_secs: '
          f'{words}' in output)


def test_a_rank_that_freezes_in_an_evaluation(data, tmp_path):
  command_line.main(dataset_dir=data, output_dir=tmp_path, stop_at_step=1)
  with train(data, tmp_path, 1, 'freeze', 'images.utils.evaluation_utils._restored_session',
             task_type='evaluate', stall_limit_secs=4) as run:
    code, output = run.end(0)
  assert code == 70, output
  assert f'the limit of --stall_limit_secs: rank 1 on {HOST} does not answer; ' in output
  assert not (tmp_path / 'evaluation.json').exists()


@pytest.mark.parametrize('rank', [0, 1])
def test_a_signal_to_any_rank_saves_and_another_number_of_ranks_resumes(data, tmp_path, rank):
  number = (signal.SIGTERM, signal.SIGINT)[rank]
  with train(data, tmp_path) as run:
    signal_rank(run, rank, number, tmp_path)
    ends = [run.end(0), run.end(1)]
  assert [code for code, _ in ends] == [75, 75]
  assert f'rank {rank} got {number.name}: all ranks stop after this step' in ends[rank][1]
  assert f'got {number.name}' not in ends[1 - rank][1]
  check_lines(ends[1][1])
  _, step, images, position = resume_utils.newest_checkpoint(str(tmp_path))
  assert (f'stopped at step {step} of {10**6}, checkpoint {tmp_path}/model.ckpt-{step}\n'
          in ends[0][1])
  assert (images, position) == (step * 8, [[step * 4] * 2])
  if rank == 0:
    return
  code, output = command_line.run({**ENDLESS, 'dataset_dir': data, 'output_dir': tmp_path,
                                   'stop_at_step': step + 2}, launcher=launch.horovodrun(3))
  assert code == 0, output
  assert f'steps {step} to {step + 2}, resuming {tmp_path}/model.ckpt-{step}' in output
  assert ('3 ranks, were 2: this changes the global batch and the number of steps per epoch'
          in output)
  _, _, images, (*_, taken) = resume_utils.newest_checkpoint(str(tmp_path))
  assert (images, len(taken), sum(taken)) == (step * 8 + 2 * 12, 3, step * 8 + 2 * 12)


def test_a_chief_that_cannot_save_after_a_signal(data, tmp_path):
  with train(data, tmp_path, 0, 'raise', 'images.utils.stop_utils.StopAtSignalHook.end') as run:
    signal_rank(run, 1, signal.SIGTERM, tmp_path)
    (chief_code, chief), (code, output) = run.end(0), run.end(1)
  assert (chief_code, code) == (1, 1)
  assert 'OSError: this rank has failed' in chief.splitlines()[-1]
  assert ANOTHER in output.splitlines()[-1]


def test_sigterm_before_the_first_step(tmp_path):
  process = command_line.start({**command_line.TINY, 'dataset_name': 'mock', 'train_image_size': 32,
                                'model_name': 'resnet_v1_101', 'output_dir': tmp_path})
  try:
    for line in process.stdout:
      if 'steps 0 to' in line:  # It builds the graph now.
        process.send_signal(signal.SIGTERM)
        break
    output, _ = process.communicate(timeout=60)
  finally:
    command_line.kill(process)
  assert process.returncode == process_utils.EXIT_STOPPED, output
  assert 'rank 0 got SIGTERM while not training: there is nothing to save; run the' in output
