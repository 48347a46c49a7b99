"""Measures training speed: networks x ranks x precision, images/s and scaling efficiency.

  python scripts/benchmark.py --models=resnet_v1_50 --ranks=1,2 --cores_per_rank=1
  python scripts/benchmark.py --peers --precisions=float32,half --batch_size=16
  python scripts/benchmark.py --before=../clone_of_an_earlier_commit --rounds=40 --steps=1

Each measurement is a training run of train_image_classifiers.py in its own processes, on
--cores_per_rank cores for each rank, and its speed is read from the log of that run. Efficiency is
the speed of N ranks divided by N times the speed of one rank with as many cores per rank. With
--peers, resnet_v1_50 is also trained by tf_keras and, if it is installed, PyTorch; with --before,
each network is also trained by the code of another clone. The runs that are compared take turns of
a few seconds, and a ratio is the median of the ratios of all rounds. Times depend on the machine
and its other load: only compare numbers from the same run of this script.
"""
import functools
import importlib.util
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import report
import turns
from absl import app, flags

ROOT = pathlib.Path(__file__).resolve().parent.parent
FLAGS = flags.FLAGS

PRECISIONS = {'float32': '--use_fp16=False', 'half': '--use_fp16=True',
              'bfloat16': '--half_dtype=bfloat16', 'float16': '--half_dtype=float16'}

# --peer of scripts/peers.py -> (the package that it needs, its name in the table).
PEERS = {'keras': ('tf_keras', 'tf_keras, fit'), 'torch': ('torch', 'PyTorch, channels last'),
         'product': ('tensorflow', 'limit of a matrix product')}


def define_flags():
  """Define the flags of this script."""
  flags.DEFINE_bool('peers', False, 'Compare ResNet-50 with other libraries, and nothing else.')
  flags.DEFINE_string('before', None, 'Another clone of this project, such as one of an earlier '
                      'commit, to compare with, and nothing else.')
  flags.DEFINE_list('models', ['resnet_v1_50'], 'Networks to measure.')
  flags.DEFINE_list('ranks', ['1'], 'Numbers of ranks to measure.')
  flags.DEFINE_list('precisions', ['float32'], f'Among {", ".join(PRECISIONS)}.')
  flags.DEFINE_integer('batch_size', 8, 'Images in a step of one rank.', lower_bound=1)
  flags.DEFINE_integer('rounds', 5, 'Turns that each takes.', lower_bound=1)
  flags.DEFINE_integer('intervals', 1, 'Intervals of the log to measure in a turn.',
                       lower_bound=1)
  flags.DEFINE_integer('steps', 4, 'Steps in an interval.', lower_bound=1)
  flags.DEFINE_bool('mpi', None, 'Start several ranks with mpirun, not horovodrun; by default '
                    'where launch_local.sh does: Horovod has Open MPI, and there is no GPU.')
  flags.DEFINE_integer('cores_per_rank', None, 'Cores for each rank, which share those of all; by '
                       'default those of the machine divided by the largest number of ranks.',
                       lower_bound=1)
  flags.DEFINE_string('output', None, 'Name of files to write as well: <output>.json and, '
                      'where matplotlib is installed, <output>.png.')
  flags.DEFINE_multi_string('flag', [], 'Further flag of the training script, such as '
                            '--flag=--dataset_name=flowers; may be repeated.')
  flags.register_validator('before', lambda clone: clone is None or script_of(clone).is_file(),
                           'has to be a directory with train_image_classifiers.py')
  flags.register_multi_flags_validator(
      ['before', 'rounds'], lambda values: values['before'] is None or values['rounds'] > 1,
      '--before needs --rounds of 2 at least')
  flags.register_multi_flags_validator(
      ['before', 'peers'], lambda values: values['before'] is None or not values['peers'],
      '--before and --peers are two comparisons: give one of them')
  flags.register_validator('precisions', lambda names: set(names) <= set(PRECISIONS),
                           f'has to be among {", ".join(PRECISIONS)}')
  flags.register_validator('ranks', lambda ranks: ranks and all(
      n.isdecimal() and int(n) > 0 for n in ranks), 'has to be numbers from 1 on')


def script_of(clone):
  """Return the training script in the directory of a clone of this project."""
  return pathlib.Path(clone) / 'train_image_classifiers.py'


def command(model, ranks, precision, output_dir, cores, *more, clone=None):
  """Return the command of an endless run, with `more` flags of the training script."""
  train = [
      sys.executable, str(script_of(clone or ROOT)), '--dataset_name=mock',
      f'--model_name={model}', f'--batch_size={FLAGS.batch_size}', PRECISIONS[precision],
      f'--log_loss_every_n_iters={FLAGS.steps}', turns.ENDLESS,
      '--hooks=StopAtStepHook,LoggingTensorHook', f'--output_dir={output_dir}',
      f'--enable_paisoar={ranks > 1}', '--learning_rate=0.001', *more, *FLAGS.flag]
  return [*(launcher(ranks) if ranks > 1 else []), *bound(train, ranks * cores)]


def launcher(ranks):
  """Return the words of a launcher, which start several ranks of the command after them."""
  if not (suits_mpi() if FLAGS.mpi is None else FLAGS.mpi):
    return ['horovodrun', '--gloo', '-np', str(ranks)]
  as_root = ['--allow-run-as-root'] if os.getuid() == 0 else []
  return ['mpirun', *as_root, '-np', str(ranks), '-H', f'localhost:{ranks}', '-bind-to', 'none',
          '-mca', 'mpi_yield_when_idle', '1']


@functools.cache
def suits_mpi():
  """Return whether launch_local.sh would use mpirun here."""
  return holds('suits_mpi')


def has_gpus():
  """Return whether launch_local.sh sees a GPU here."""
  return holds('[ "$(count_gpus)" != 0 ]')


def holds(condition):
  """Return whether a bash condition, which may call functions of launch_env.sh, is true."""
  check = ['bash', '-c', f'source "$0"; {condition}', str(ROOT / 'scripts' / 'launch_env.sh')]
  return subprocess.run(check, check=False).returncode == 0


def peer_command(peer, precision, cores):
  """Return the command that trains ResNet-50 endlessly with another library."""
  return bound([
      sys.executable, str(ROOT / 'scripts' / 'peers.py'), f'--peer={peer}',
      f'--half={precision != "float32"}', f'--batch_size={FLAGS.batch_size}',
      f'--steps={FLAGS.steps}', '--intervals=1000000'], cores)


def bound(words, cores):
  """Return a command that runs on `cores` cores; several ranks share all of them, as in a run."""
  own = ','.join(str(core) for core in sorted(os.sched_getaffinity(0))[:cores])
  return ['taskset', '-c', own, *words]


def measure(model, ranks, cores):
  """Return a list of results, one for each precision and number of ranks.

  Args:
    model: string.
    ranks: list of ints.
    cores: int, cores of each rank.

  Returns:
    List of dicts with the settings, 'images_per_second' (list of floats, of all ranks together,
    one per round), 'efficiency' (None unless one rank is also measured) and 'of_float32' (the
    speed as a multiple of that in float32; None unless float32 is also measured).
  """
  cases = list(itertools.product(FLAGS.precisions, ranks))
  with tempfile.TemporaryDirectory() as runs:
    speeds = turns.take(
        {(precision, n): command(model, n, precision, f'{runs}/{precision}{n}', cores)
         for precision, n in cases}, FLAGS.rounds, FLAGS.intervals)
  return [{'model': model, 'precision': precision, 'ranks': n, 'cores_per_rank': cores,
           'batch_size': FLAGS.batch_size, 'images_per_second': speeds[precision, n],
           'efficiency': ratio(speeds, (precision, n), (precision, 1), n),
           'of_float32': ratio(speeds, (precision, n), ('float32', n))}
          for precision, n in cases]


def ratio(speeds, ours, theirs, times=1):
  """Return the median over all rounds of our speed divided by `times` their speed.

  Args:
    speeds: what turns.take() returned.
    ours, theirs: keys of `speeds`; the ratio is None if `theirs` is missing there.
    times: number.
  """
  if theirs not in speeds:
    return None
  return statistics.median(one / other / times for one, other in
                           zip(speeds[ours], speeds[theirs]))


def compare_peers(cores):
  """Print how fast resnet_v1_50 trains here and with each peer, and the ratios.

  Half precision is bfloat16 for all libraries, even on a CPU that is slower with it.
  """
  if has_gpus():
    raise app.UsageError('--peers compares libraries on a processor: hide the GPUs '
                         '(CUDA_VISIBLE_DEVICES=-1)')
  print('| precision | library | images/s | lowest to highest | this project is |')
  print('| --- | --- | --- | --- | --- |')
  for precision in FLAGS.precisions:
    with tempfile.TemporaryDirectory() as output_dir:
      commands = {'this project': command(
          'resnet_v1_50', 1, 'bfloat16' if precision == 'half' else precision, output_dir, cores,
          '--optimizer=momentum', '--num_classes=1000')}
      commands.update({name: peer_command(peer, precision, cores)
                       for peer, (package, name) in PEERS.items()
                       if importlib.util.find_spec(package)})
      speeds = turns.take(commands, FLAGS.rounds, FLAGS.intervals)
    for library, found in speeds.items():
      print(f'| {precision} | {library} | {report.in_words(found)} | '
            f'{ratio(speeds, "this project", library):.2f} times as fast |', flush=True)


def compare_clones(cores):
  """Print how fast each network trains here and in the clone --before, and the ratio."""
  print('| network | precision | images/s | lowest to highest | before | lowest to highest | '
        'times as fast | half of the rounds |')
  print('| --- | --- | --- | --- | --- | --- | --- | --- |')
  for model, precision in itertools.product(FLAGS.models, FLAGS.precisions):
    with tempfile.TemporaryDirectory() as runs:
      now, before = turns.take(
          {name: command(model, 1, precision, f'{runs}/{name}', cores, clone=clone)
           for name, clone in (('now', ROOT), ('before', FLAGS.before))},
          FLAGS.rounds, FLAGS.intervals).values()
    low, median, high = statistics.quantiles(
        (ours / theirs for ours, theirs in zip(now, before)), n=4, method='inclusive')
    print(f'| {model} | {precision} | {report.in_words(now)} | {report.in_words(before)} | '
          f'{median:.3f} | {low:.3f} to {high:.3f} |', flush=True)


def main(argv):
  """Measure every combination and print the table."""
  if len(argv) > 1:
    raise app.UsageError(f'unexpected arguments {argv[1:]}')
  ranks = [int(n) for n in FLAGS.ranks]
  available = len(os.sched_getaffinity(0))
  cores = FLAGS.cores_per_rank or max(1, available // max(ranks))
  if cores * max(ranks) > available:
    raise app.UsageError(f'{max(ranks)} ranks on {cores} cores each: this machine has {available}; '
                         'lower --ranks or --cores_per_rank')
  print(f'{cores} cores a rank, batch size {FLAGS.batch_size} a rank', flush=True)
  if FLAGS.peers or FLAGS.before:
    (compare_peers if FLAGS.peers else compare_clones)(cores)
    return
  results = []
  for model in FLAGS.models:
    found = measure(model, ranks, cores)
    if len(FLAGS.models) > 1:
      print(report.summarize(found), file=sys.stderr, flush=True)
    results += found
  print(report.summarize(results))
  if FLAGS.output:
    pathlib.Path(FLAGS.output + '.json').write_text(json.dumps(results, indent=1) + '\n')
    try:
      report.plot(results, FLAGS.output + '.png')
    except ImportError:
      print("no plot: matplotlib is not installed (pip install -e '.[benchmark]')")


if __name__ == '__main__':
  define_flags()
  app.run(main)
