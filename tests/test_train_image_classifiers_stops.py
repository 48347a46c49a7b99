"""How ranks end that are killed, asked to stop, or stand still: all together, and resumable."""
import contextlib
import os
import pathlib
import signal

import pytest

from tests import command_line, launch

TWO_RANKS = launch.horovodrun(2)
ENDLESS = {**command_line.TINY, 'enable_paisoar': True, 'stop_at_step': 10**6, 'num_epochs': 10**6,
           'log_loss_every_n_iters': 10**6, 'save_checkpoint_every_n_iters': 100}

pytestmark = [
    pytest.mark.slow, launch.needs_horovod,
    pytest.mark.skipif(not os.path.isdir('/proc/self'), reason='finds ranks in /proc of Linux')]


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  """The directory of a tiny data set."""
  return command_line.write_dataset(tmp_path_factory.mktemp('data'))


def process_of_rank(rank, output_dir):
  """Return the id of the process that trains as `rank` in `output_dir`; None if it is gone."""
  for folder in pathlib.Path('/proc').glob('[0-9]*'):
    with contextlib.suppress(OSError):
      words = (folder / 'cmdline').read_bytes().split(b'\0')
      environment = (folder / 'environ').read_bytes().split(b'\0')
      if (words[1:2] == [str(command_line.SCRIPT).encode()]
          and f'--output_dir={output_dir}'.encode() in words
          and f'HOROVOD_RANK={rank}'.encode() in environment):
        return int(folder.name)
  return None


def signal_rank(rank, number, values):
  """Train on two ranks, send one a signal after a checkpoint; return (exit code, output)."""
  output_dir = values['output_dir']
  process = command_line.start({**ENDLESS, **values}, launcher=TWO_RANKS)
  try:
    command_line.wait_for(output_dir / 'model.ckpt-100.index', process, seconds=120)
    os.kill(process_of_rank(rank, output_dir), number)
    output, _ = process.communicate(timeout=60)
  finally:
    command_line.kill(process)
  assert process.returncode != 0
  assert process_of_rank(0, output_dir) is process_of_rank(1, output_dir) is None
  return output


def test_a_killed_rank_ends_the_other(data, tmp_path):
  signal_rank(1, signal.SIGKILL, {'dataset_dir': data, 'output_dir': tmp_path})


@pytest.mark.parametrize('rank', [0, 1])
def test_a_frozen_rank_ends_the_other_and_is_named(data, tmp_path, rank):
  output = signal_rank(rank, signal.SIGSTOP, {'dataset_dir': data, 'output_dir': tmp_path,
                                              'stall_limit_secs': 5})
  assert 'no step has ended for 5 s, the limit of --stall_limit_secs: ' in output
  assert f': rank {rank} on {os.uname().nodename} does not answer; the newest checkpoint' in output
  assert f'Process name: {1 - rank}\nExit code: 70' in output


def test_sigterm_to_any_rank_saves_and_another_number_of_ranks_resumes(data, tmp_path):
  values = {'dataset_dir': data, 'output_dir': tmp_path}
  output = signal_rank(1, signal.SIGTERM, values)
  assert '[rank 1] ' in output
  assert 'rank 1 got SIGTERM: all ranks stop after this step' in output
  # horovodrun reports the rank that ended first, and may end the other before it leaves.
  assert '\nExit code: 75\n' in output
  step = max(int(path.stem.rpartition('-')[2]) for path in tmp_path.glob('*.index'))
  assert f'stopped at step {step} of {10**6}, checkpoint {tmp_path}/model.ckpt-{step}' in output
  saved = command_line.variables(tmp_path / f'model.ckpt-{step}')
  assert saved['input_position'] == step * 4 * 2

  code, output = command_line.run({**ENDLESS, **values, 'stop_at_step': step + 2},
                                  launcher=launch.horovodrun(3))
  assert code == 0, output
  assert f'steps {step} to {step + 2}, resuming {tmp_path}/model.ckpt-{step}' in output
  # From a multiple of the three ranks on: up to two records are taken again.
  saved = command_line.variables(tmp_path / f'model.ckpt-{step + 2}')
  assert saved['input_position'] == step * 8 // 3 * 3 + 2 * 4 * 3
