"""The benchmark's commands and arithmetic; its measurements are not for tests."""
import importlib.util
import os
import pathlib
import sys

import pytest
from absl import app, flags
from absl.testing import flagsaver

_PATH = pathlib.Path(__file__).resolve().parent.parent / 'scripts' / 'benchmark.py'


@pytest.fixture(scope='module')
def benchmark():
  """The script as a module, with flags of its own."""
  spec = importlib.util.spec_from_file_location('benchmark', _PATH)
  module = importlib.util.module_from_spec(spec)
  with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(str(_PATH.parent))
    spec.loader.exec_module(module)
  return module


@pytest.fixture
def flag_values(benchmark, monkeypatch):
  """Flag values with the script's defaults, apart from those of the training script."""
  values = flags.FlagValues()
  monkeypatch.setattr(benchmark.flags, 'FLAGS', values)
  monkeypatch.setattr(benchmark, 'FLAGS', values)
  for name in ('DEFINE_list', 'DEFINE_integer', 'DEFINE_string', 'DEFINE_multi_string',
               'DEFINE_bool', 'register_validator', 'register_multi_flags_validator'):
    define = getattr(flags, name)
    monkeypatch.setattr(
        benchmark.flags, name,
        lambda *args, define=define, **kwargs: define(*args, flag_values=values, **kwargs))
  benchmark.define_flags()
  values(['benchmark', '--batch_size=16', '--intervals=3', '--rounds=2', '--steps=5',
          '--flag=--seed=7'])
  with flagsaver.flagsaver():
    yield values


def test_one_rank_is_a_run_bound_to_its_cores(benchmark, flag_values):
  command = benchmark.command('lenet', 1, 'half', '/run', 2)
  assert command[:2] == ['taskset', '-c']
  for flag in ('--model_name=lenet', '--batch_size=16', '--use_fp16=True', '--stop_at_step=1000000',
               '--log_loss_every_n_iters=5', '--enable_paisoar=False', '--seed=7',
               '--hooks=StopAtStepHook,LoggingTensorHook'):
    assert flag in command


@pytest.mark.parametrize(('precision', 'flag'), [
    ('float32', '--use_fp16=False'), ('half', '--use_fp16=True'),
    ('bfloat16', '--half_dtype=bfloat16'), ('float16', '--half_dtype=float16')])
def test_a_precision_is_a_flag(benchmark, flag_values, precision, flag):
  assert flag in benchmark.command('lenet', 1, precision, '/run', 2)


@pytest.mark.parametrize(('ranks', 'cores', 'expected'), [
    (1, 1, '3'), (1, 2, '3,5'), (2, 1, '3,5'), (2, 3, '3,5,7,8,11,12')])
def test_ranks_share_the_cores_of_all(benchmark, flag_values, monkeypatch, ranks, cores, expected):
  """Each takes its part of them as its number of threads."""
  monkeypatch.setattr(os, 'sched_getaffinity', lambda _: {12, 3, 5, 7, 8, 11, 13})
  command = benchmark.command('lenet', ranks, 'half', '/run', cores)
  place = command.index('taskset')
  assert (place == 0) == (ranks == 1)
  assert command[place:place + 4] == ['taskset', '-c', expected, sys.executable]


def test_blanks_in_paths_and_flags_are_kept(benchmark, flag_values, monkeypatch, tmp_path):
  suits_mpi = benchmark.suits_mpi.__wrapped__()
  (tmp_path / 'my project').symlink_to(benchmark.ROOT)
  monkeypatch.setattr(benchmark, 'ROOT', tmp_path / 'my project')
  words = benchmark.command('lenet', 1, 'half', '/run', 2, '--train_files=a b')
  assert f'{tmp_path}/my project/train_image_classifiers.py' in words
  assert '--train_files=a b' in words
  assert benchmark.suits_mpi.__wrapped__() == suits_mpi


def test_several_ranks_are_launched_by_horovodrun(benchmark, flag_values):
  flag_values.mpi = False
  command = benchmark.command('lenet', 2, 'float32', '/run', 1)
  assert command[:6] == ['horovodrun', '--gloo', '-np', '2', 'taskset', '-c']
  assert '--enable_paisoar=True' in command
  assert '--use_fp16=False' in command


def test_several_ranks_are_launched_by_mpirun_where_asked(benchmark, flag_values):
  flag_values.mpi = True
  command = benchmark.command('lenet', 2, 'float32', '/run', 1)
  assert command[0] == 'mpirun'
  assert command[:command.index('taskset')][-9:] == [
      '-np', '2', '-H', 'localhost:2', '-bind-to', 'none', '-mca', 'mpi_yield_when_idle', '1']
  assert '--enable_paisoar=True' in command


@pytest.mark.parametrize(('suits', 'word'), [(False, 'horovodrun'), (True, 'mpirun')])
def test_by_default_ranks_are_launched_as_by_launch_local(benchmark, flag_values, monkeypatch,
                                                          suits, word):
  monkeypatch.setattr(benchmark, 'suits_mpi', lambda: suits)
  assert benchmark.launcher(2)[0] == word


def test_a_machine_with_a_gpu_does_not_suit_mpirun(benchmark, monkeypatch, tmp_path):
  gpus = tmp_path / 'nvidia-smi'
  gpus.write_text('#!/bin/sh\necho GPU 0\n')
  gpus.chmod(0o755)
  monkeypatch.setenv('PATH', f'{tmp_path}{os.pathsep}{os.environ["PATH"]}')
  # It keeps its answer, which another test may have asked for.
  assert not benchmark.suits_mpi.__wrapped__()
  assert benchmark.has_gpus()
  monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '-1')
  assert not benchmark.has_gpus()


@pytest.fixture
def taken(benchmark, monkeypatch):
  """What turns.take() was called with, a list; it gives 1, 2 times as much to the next, ..."""
  calls = []

  def take(commands, rounds, intervals):
    calls.append((list(commands.values()), rounds, intervals))
    return {name: [10.0 * n, 12.0 * n, 14.0 * n] for n, name in enumerate(commands, 1)}

  monkeypatch.setattr(benchmark.turns, 'take', take)
  return calls


def test_ranks_and_precisions_take_turns(benchmark, flag_values, taken, monkeypatch, capsys):
  flag_values(['benchmark', '--ranks=1,2', '--cores_per_rank=1', '--precisions=float32,half'])
  monkeypatch.setattr(os, 'sched_getaffinity', lambda _: {0, 1})
  benchmark.main(['benchmark'])
  ((commands, rounds, intervals),) = taken
  assert (rounds, intervals) == (2, 3)
  assert [('--use_fp16=True' in words, '--enable_paisoar=True' in words)
          for words in commands] == [(False, False), (False, True), (True, False), (True, True)]
  assert capsys.readouterr().out.splitlines()[-4:] == [
      '| resnet_v1_50 | float32 | 1 | 12.0 | 10.0 to 14.0 |  | 1.00 times |',
      '| resnet_v1_50 | float32 | 2 | 24.0 | 20.0 to 28.0 | 100 % | 1.00 times |',
      '| resnet_v1_50 | half | 1 | 36.0 | 30.0 to 42.0 |  | 3.00 times |',
      '| resnet_v1_50 | half | 2 | 48.0 | 40.0 to 56.0 | 67 % | 2.00 times |']


def test_without_one_rank_there_is_no_efficiency_and_no_ratio_without_float32(
    benchmark, flag_values, taken):
  flag_values(['benchmark', '--precisions=half'])
  (result,) = benchmark.measure('lenet', [2], 1)
  assert result['efficiency'] is None
  assert result['of_float32'] is None
  assert benchmark.report.summarize([result]).endswith('| half | 2 | 12.0 | 10.0 to 14.0 |  |  |')


def test_a_ratio_is_the_median_of_those_of_each_round(benchmark):
  speeds = {1: [10.0, 20.0, 40.0], 2: [18.0, 39.0, 60.0]}
  assert benchmark.ratio(speeds, 2, 1) == 1.8
  assert benchmark.ratio(speeds, 2, 1, 2) == 0.9
  assert benchmark.ratio(speeds, 2, 3) is None


@pytest.mark.parametrize('flag', [
    '--precisions=nix', '--ranks=0', '--ranks=2,x', '--ranks=', '--cores_per_rank=0'])
def test_a_flag_that_will_not_do(benchmark, flag_values, flag):
  with pytest.raises(flags.IllegalFlagValueError, match=flag.partition('=')[0]):
    flag_values(['benchmark', flag])


@pytest.mark.parametrize('words', [['--cores_per_rank=2'], ['--ranks=1,4']])
def test_more_cores_than_there_are_are_not_measured(benchmark, flag_values, monkeypatch, words):
  flag_values(['benchmark', '--ranks=2', *words])
  monkeypatch.setattr(os, 'sched_getaffinity', lambda _: {0, 1, 2})
  with pytest.raises(app.UsageError, match=r'cores each: this machine has 3; lower --ranks or'):
    benchmark.main(['benchmark'])


def test_a_peer_has_the_same_batch_precision_and_cores(benchmark, flag_values):
  assert '--optimizer=momentum' in benchmark.command(
      'resnet_v1_50', 1, 'half', '/run', 2, '--optimizer=momentum')
  command = benchmark.peer_command('keras', 'half', 2)
  assert command[:2] == ['taskset', '-c']
  for flag in ('--peer=keras', '--half=True', '--batch_size=16', '--steps=5',
               '--intervals=1000000'):
    assert flag in command
  assert '--half=False' in benchmark.peer_command('torch', 'float32', 2)


def test_peers_that_are_installed_take_turns(benchmark, flag_values, taken, monkeypatch, capsys):
  monkeypatch.setattr(benchmark, 'PEERS', {'keras': ('json', 'Keras'), 'torch': ('absent', 'T')})
  monkeypatch.setattr(benchmark, 'has_gpus', lambda: False)
  flag_values(['benchmark', '--precisions=float32,half'])
  benchmark.compare_peers(2)
  for (ours, theirs), rounds, intervals in taken:
    assert '--optimizer=momentum' in ours
    assert '--num_classes=1000' in ours
    assert '--peer=keras' in theirs
    assert (rounds, intervals) == (2, 3)
  assert ['--half_dtype=bfloat16' in ours for (ours, _), _, _ in taken] == [False, True]
  assert ['--half=True' in theirs for (_, theirs), _, _ in taken] == [False, True]
  assert capsys.readouterr().out.splitlines()[2:] == [
      f'| {precision} | {library}' for precision in ('float32', 'half') for library in (
          'this project | 12.0 | 10.0 to 14.0 | 1.00 times as fast |',
          'Keras | 24.0 | 20.0 to 28.0 | 0.50 times as fast |')]


def test_peers_are_not_compared_where_there_is_a_gpu(benchmark, flag_values, monkeypatch):
  monkeypatch.setattr(benchmark, 'has_gpus', lambda: True)
  with pytest.raises(app.UsageError, match='CUDA_VISIBLE_DEVICES=-1'):
    benchmark.compare_peers(2)


def output_dir_of(command):
  [flag] = [word for word in command if word.startswith('--output_dir=')]
  return flag


def test_another_clone_takes_turns_with_this_one(benchmark, flag_values, taken, tmp_path, capsys):
  (tmp_path / 'train_image_classifiers.py').touch()
  flag_values(['benchmark', f'--before={tmp_path}', '--models=lenet,vgg_a'])
  benchmark.main(['benchmark'])
  assert len(taken) == 2
  for model, (commands, rounds, intervals) in zip(('lenet', 'vgg_a'), taken):
    assert (len(commands), rounds, intervals) == (2, 2, 3)
    for words, clone in zip(commands, (benchmark.ROOT, tmp_path)):
      assert f'{clone}/train_image_classifiers.py' in words
      assert f'--model_name={model}' in words
    assert len({output_dir_of(words) for words in commands}) == 2
  assert capsys.readouterr().out.splitlines()[-2:] == [
      f'| {model} | float32 | 12.0 | 10.0 to 14.0 | 24.0 | 20.0 to 28.0 | 0.500 | 0.500 to 0.500 |'
      for model in ('lenet', 'vgg_a')]


def test_half_of_the_rounds_lie_between_the_quartiles(
    benchmark, flag_values, tmp_path, monkeypatch, capsys):
  (tmp_path / 'train_image_classifiers.py').touch()
  flag_values(['benchmark', f'--before={tmp_path}'])
  monkeypatch.setattr(benchmark.turns, 'take', lambda *_: {'now': [2.0, 6.0], 'before': [2.0, 3.0]})
  benchmark.compare_clones(1)
  assert capsys.readouterr().out.endswith('| 1.500 | 1.250 to 1.750 |\n')


@pytest.mark.parametrize(('words', 'message'), [
    (['--before=/nowhere'], 'before.*has to be a directory with train_image_classifiers.py'),
    (['--rounds=1'], '--before needs --rounds of 2 at least'),
    (['--peers'], '--before and --peers are two comparisons: give one of them')])
def test_another_clone_that_cannot_be_compared(benchmark, flag_values, tmp_path, words, message):
  (tmp_path / 'train_image_classifiers.py').touch()
  with pytest.raises(flags.IllegalFlagValueError, match=message):
    flag_values(['benchmark', f'--before={tmp_path}', *words])
