"""Measures training speed: networks x ranks x precision, images/s and scaling efficiency.

  python scripts/benchmark.py --models=resnet_v1_50 --ranks=1,2 --cores_per_rank=1
  python scripts/benchmark.py --peers --precisions=float32,half --batch_size=16

Each measurement is a training run of train_image_classifiers.py in processes of its own,
every rank on cores of its own, and its speed what the log of that run says. Efficiency
compares N ranks with N times one rank on as many cores. With --peers, resnet_v1_50 is trained
by tf_keras and, where it is installed, PyTorch as well. Times depend on the machine and what
else it does: compare the numbers of one run of this script only.
"""
import collections
import functools
import importlib.util
import itertools
import json
import os
import pathlib
import re
import shlex
import statistics
import subprocess
import sys
import tempfile

from absl import app, flags

ROOT = pathlib.Path(__file__).resolve().parent.parent
FLAGS = flags.FLAGS

PRECISIONS = {'float32': '--use_fp16=False', 'half': '--use_fp16=True',
              'bfloat16': '--half_dtype=bfloat16', 'float16': '--half_dtype=float16'}

# --peer of scripts/peers.py -> the package that it needs, and what it is called.
PEERS = {'keras': ('tf_keras', 'tf_keras, fit'), 'torch': ('torch', 'PyTorch, channels last'),
         'product': ('tensorflow', 'limit of a matrix product')}


def define_flags():
  """Define the flags of this script."""
  flags.DEFINE_bool('peers', False, 'Compare ResNet-50 with other libraries, and nothing else.')
  flags.DEFINE_list('models', ['resnet_v1_50'], 'Networks to measure.')
  flags.DEFINE_list('ranks', ['1'], 'Numbers of ranks to measure.')
  flags.DEFINE_list('precisions', ['float32'], f'Among {", ".join(PRECISIONS)}.')
  flags.DEFINE_integer('batch_size', 8, 'Images in a step of one rank.', lower_bound=1)
  flags.DEFINE_integer('intervals', 5, 'Intervals of the log to measure.', lower_bound=2)
  flags.DEFINE_integer('steps', 4, 'Steps in an interval.', lower_bound=1)
  flags.DEFINE_integer('rounds', 1, 'Measure all in turn so many times.', lower_bound=1)
  flags.DEFINE_bool('mpi', None, 'Start several ranks with mpirun, not horovodrun; by default '
                    'where launch_local.sh does: Horovod has Open MPI, and there is no GPU.')
  flags.DEFINE_integer('cores_per_rank', None, 'Cores that each rank is bound to; by default '
                       'those of the machine divided by the largest number of ranks.',
                       lower_bound=1)
  flags.DEFINE_string('output', None, 'Name of files to write as well: <output>.json and, '
                      'where matplotlib is installed, <output>.png.')
  flags.DEFINE_multi_string('flag', [], 'Further flag of the training script, such as '
                            '--flag=--dataset_name=flowers; may be repeated.')
  flags.register_validator('precisions', lambda names: set(names) <= set(PRECISIONS),
                           f'has to be among {", ".join(PRECISIONS)}')
  flags.register_validator('ranks', lambda ranks: ranks and all(
      n.isdecimal() and int(n) > 0 for n in ranks), 'has to be numbers from 1 on')


def command(model, ranks, precision, output_dir, cores, *more):
  """Return the shell command of one measurement, with `more` flags of the training script."""
  steps = (FLAGS.intervals + 1) * FLAGS.steps
  train = [
      sys.executable, str(ROOT / 'train_image_classifiers.py'), '--dataset_name=mock',
      f'--model_name={model}', f'--batch_size={FLAGS.batch_size}', PRECISIONS[precision],
      f'--stop_at_step={steps}', f'--log_loss_every_n_iters={FLAGS.steps}',
      '--hooks=StopAtStepHook,LoggingTensorHook', f'--output_dir={output_dir}',
      f'--enable_paisoar={ranks > 1}', '--learning_rate=0.001', *more, *FLAGS.flag]
  return [*(launcher(ranks) if ranks > 1 else []), *bound(train, cores)]


def launcher(ranks):
  """Return the words that start several ranks of the command behind them."""
  if not (suits_mpi() if FLAGS.mpi is None else FLAGS.mpi):
    return ['horovodrun', '--gloo', '-np', str(ranks)]
  as_root = ['--allow-run-as-root'] if os.getuid() == 0 else []
  return ['mpirun', *as_root, '-np', str(ranks), '-H', f'localhost:{ranks}', '-bind-to', 'none',
          '-mca', 'mpi_yield_when_idle', '1']


@functools.cache
def suits_mpi():
  """Return whether launch_local.sh would take mpirun here."""
  return holds('suits_mpi')


def has_gpus():
  """Return whether launch_local.sh sees a GPU here."""
  return holds('[ "$(count_gpus)" != 0 ]')


def holds(condition):
  """Return whether a condition in the words of launch_env.sh is true."""
  check = ['bash', '-c', f'source "$0"; {condition}', str(ROOT / 'scripts' / 'launch_env.sh')]
  return subprocess.run(check, check=False).returncode == 0


def peer_command(peer, precision, cores):
  """Return the shell command that trains ResNet-50 with another library."""
  return bound([
      sys.executable, str(ROOT / 'scripts' / 'peers.py'), f'--peer={peer}',
      f'--half={precision != "float32"}', f'--batch_size={FLAGS.batch_size}',
      f'--steps={FLAGS.steps}', f'--intervals={FLAGS.intervals}'], cores)


def bound(words, cores):
  """Return a command that runs on as many cores, others for each local rank."""
  rank = '${HOROVOD_LOCAL_RANK:-${OMPI_COMM_WORLD_LOCAL_RANK:-0}}'
  available = ' '.join(str(core) for core in sorted(os.sched_getaffinity(0)))
  own = f'${{cores[*]:{rank} * {cores}:{cores}}}'
  return ['bash', '-c', f'IFS=, cores=({available}); exec taskset -c "{own}" {shlex.join(words)}']


def measure(model, ranks, precision, cores, *more):
  """Return the images/s over all ranks of each interval after the first, a list."""
  with tempfile.TemporaryDirectory() as output_dir:
    return speeds_of(command(model, ranks, precision, output_dir, cores, *more))[1:]


def speeds_of(words):
  """Run a command; return the images/s that it prints, a list.

  Raises:
    RuntimeError: the run failed; the message holds the end of its log.
  """
  run = subprocess.run(words, text=True, capture_output=True, check=False)
  log = run.stdout + run.stderr
  speeds = [float(x.replace(',', '')) for x in re.findall(r'([\d.,]+) images/s', log)]
  if run.returncode != 0 or len(speeds) < 2:
    raise RuntimeError(f'{words[-1]} failed:\n{log[-2000:]}')
  return speeds


def compare_peers(cores):
  """Print how fast resnet_v1_50 trains here and with each peer, and the ratios."""
  if has_gpus():
    raise app.UsageError('--peers compares libraries on a processor: hide the GPUs '
                         '(CUDA_VISIBLE_DEVICES=-1)')
  speeds = collections.defaultdict(list)
  for _, precision in itertools.product(range(FLAGS.rounds), FLAGS.precisions):
    speeds[precision, 'this project'] += measure(
        'resnet_v1_50', 1, precision, cores, '--optimizer=momentum', '--num_classes=1000')
    for peer, (package, name) in PEERS.items():
      if importlib.util.find_spec(package):
        speeds[precision, name] += speeds_of(peer_command(peer, precision, cores))
  print('| precision | library | images/s | lowest to highest | this project is |')
  print('| --- | --- | --- | --- | --- |')
  for (precision, library), found in speeds.items():
    ours, median = statistics.median(speeds[precision, 'this project']), statistics.median(found)
    print(f'| {precision} | {library} | {median:.1f} | {min(found):.1f} to {max(found):.1f} | '
          f'{ours / median:.2f} times as fast |')


def summarize(results):
  """Add 'efficiency' to the results that have a peer with one rank; return a table, a string.

  Args:
    results: list of dicts with 'model', 'precision', 'ranks' and 'images_per_second', a
      list of the intervals.
  """
  single = {(r['model'], r['precision']): statistics.median(r['images_per_second'])
            for r in results if r['ranks'] == 1}
  lines = ['| network | precision | ranks | images/s | lowest to highest | efficiency |',
           '| --- | --- | --- | --- | --- | --- |']
  for r in results:
    speeds = r['images_per_second']
    median, one = statistics.median(speeds), single.get((r['model'], r['precision']))
    r['efficiency'] = median / (one * r['ranks']) if one else None
    lines.append(f'| {r["model"]} | {r["precision"]} | {r["ranks"]} | {median:.1f} | '
                 f'{min(speeds):.1f} to {max(speeds):.1f} | {efficiency_of(r)} |')
  return '\n'.join(lines)


def efficiency_of(result):
  """Return the efficiency of several ranks in words; '' for one rank, or without one."""
  known = result['efficiency'] is not None and result['ranks'] > 1
  return f'{100 * result["efficiency"]:.0f} %' if known else ''


def label(result):
  """Return what the plot calls a result that summarize() has seen."""
  words = [result['model'], result['precision'], str(result['ranks']), efficiency_of(result)]
  return ', '.join(word for word in words if word)


def plot(results, path):
  """Write a bar chart of images/s, with the spread, as a PNG; of what summarize() has seen."""
  import matplotlib
  matplotlib.use('Agg')
  from matplotlib import pyplot
  figure, axes = pyplot.subplots(figsize=(8, 1.5 + 0.4 * len(results)))
  medians = [statistics.median(r['images_per_second']) for r in results]
  spread = [[m - min(r['images_per_second']) for m, r in zip(medians, results)],
            [max(r['images_per_second']) - m for m, r in zip(medians, results)]]
  axes.barh([label(r) for r in results], medians, xerr=spread)
  axes.invert_yaxis()
  axes.set_xlabel('images/s over all ranks (network, precision, ranks, efficiency)')
  figure.tight_layout()
  figure.savefig(path, dpi=100)


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
  if FLAGS.peers:
    compare_peers(cores)
    return
  results = [{'model': model, 'precision': precision, 'ranks': n, 'cores_per_rank': cores,
              'batch_size': FLAGS.batch_size, 'images_per_second': []}
             for model, precision, n in itertools.product(FLAGS.models, FLAGS.precisions, ranks)]
  for _, result in itertools.product(range(FLAGS.rounds), results):
    result['images_per_second'] += measure(result['model'], result['ranks'], result['precision'],
                                           cores)
    print(summarize([result]).splitlines()[-1], file=sys.stderr, flush=True)
  print(summarize(results))
  if FLAGS.output:
    pathlib.Path(FLAGS.output + '.json').write_text(json.dumps(results, indent=1) + '\n')
    try:
      plot(results, FLAGS.output + '.png')
    except ImportError:
      print("no plot: matplotlib is not installed (pip install -e '.[benchmark]')")


if __name__ == '__main__':
  define_flags()
  app.run(main)
