"""Measures what a training run costs besides its steps: its start, its memory, its input.

  python scripts/benchmark_run.py --what=start --models=resnet_v1_50,nasnet_large
  python scripts/benchmark_run.py --what=memory
  python scripts/benchmark_run.py --what=input --dataset_dir=/tmp/data/flowers

start     seconds from the command to the end of the first step, with a batch of one image,
          compared with those of `import tensorflow` alone
memory    the peak memory of a run, compared with that of the same steps in a bare TensorFlow loop
input     images/s with photos that one core prepares while another trains, compared with random
          images in memory and one core that trains

The two that are compared take turns, in processes of their own: compare the ratios, not the times.
The processes of input stay in memory, and a turn lasts some steps.
"""
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import turns
from absl import app, flags

ROOT = pathlib.Path(__file__).resolve().parent.parent
FLAGS = flags.FLAGS
NO_CHECKPOINTS = '--hooks=StopAtStepHook,LoggingTensorHook'


def define_flags():
  """Define the flags of this script."""
  flags.DEFINE_enum('what', 'start', sorted(MEASURES), 'What to measure.')
  flags.DEFINE_list('models', ['resnet_v1_50'], 'Networks to measure.')
  flags.DEFINE_integer('batch_size', 16, 'Images in a step, of memory and input.', lower_bound=1)
  flags.DEFINE_integer('steps', 12, 'Steps of a run of memory, and of half a turn of input.',
                       lower_bound=1)
  flags.DEFINE_integer('rounds', 3, 'Turns that each takes.', lower_bound=1)
  flags.DEFINE_string('dataset_name', 'flowers', 'Data set of input.')
  flags.DEFINE_string('dataset_dir', None, 'Directory of its TFRecord files.')
  flags.DEFINE_bool('bare', False, 'Run the bare loop that memory measures, and nothing else.')
  flags.register_multi_flags_validator(
      ['what', 'dataset_dir'], lambda values: values['what'] != 'input' or values['dataset_dir'],
      '--what=input needs --dataset_dir')


def train(model, steps, output_dir, *more):
  """Return the command of a training run in float32 with plain momentum, and `more` flags."""
  return [sys.executable, str(ROOT / 'train_image_classifiers.py'), '--enable_paisoar=False',
          f'--model_name={model}', '--use_fp16=False', f'--stop_at_step={steps}',
          '--log_loss_every_n_iters=2', '--optimizer=momentum', '--learning_rate=0.001',
          f'--output_dir={output_dir}', *more]


def run(command, **environment):
  """Run a command; return (seconds, peak resident bytes).

  Raises:
    RuntimeError: it failed; the message holds the end of its output.
  """
  started = time.time()
  with tempfile.TemporaryFile('w+') as output:
    process = subprocess.Popen(command, stdout=output, stderr=output,
                               env={**os.environ, **environment})
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.time() - started
    if status:
      output.seek(0)
      raise RuntimeError(f'{" ".join(command)} failed:\n{output.read()[-2000:]}')
  return seconds, usage.ru_maxrss * 1024


def first_step(command):
  """Run a training command; return the seconds until its log reports the first step.

  Raises:
    RuntimeError: it made no step; the message holds the end of its output.
  """
  started, seconds, lines = time.time(), None, []
  with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                        text=True) as process:
    for line in process.stdout:
      lines.append(line)
      if ' step 1/' in line:
        seconds = time.time() - started
  if seconds is None:
    raise RuntimeError(f'{" ".join(command)} made no step:\n{"".join(lines[-20:])}')
  return seconds


def start(model, folder):
  """Return (seconds to the first step of each run, seconds of each import, unit, name)."""
  ours, theirs = [], []
  for _ in range(FLAGS.rounds):
    with tempfile.TemporaryDirectory(dir=folder) as run_dir:
      ours.append(first_step(train(model, 1, run_dir, '--batch_size=1')))
    theirs.append(run([sys.executable, '-c', 'import tensorflow'], TF_CPP_MIN_LOG_LEVEL='1')[0])
  return ours, theirs, 's', 'import tensorflow'


def memory(model, folder):
  """Return (peaks of the runs in GB, peaks of the bare loop in GB, unit, name)."""
  ours, theirs = [], []
  for number in range(FLAGS.rounds):
    ours.append(run(train(model, FLAGS.steps, folder / str(number),
                          f'--batch_size={FLAGS.batch_size}', NO_CHECKPOINTS))[1] / 1e9)
    theirs.append(run([sys.executable, __file__, '--bare', f'--models={model}',
                       f'--batch_size={FLAGS.batch_size}', f'--steps={FLAGS.steps}'])[1] / 1e9)
  return ours, theirs, 'GB', 'a bare loop'


def hidden_input(model, folder):
  """Return (images/s on photos in each turn, images/s on random images, unit, name)."""
  one_core = ['env', 'TF_NUM_INTRAOP_THREADS=1', 'TF_NUM_INTEROP_THREADS=1']
  common = [f'--batch_size={FLAGS.batch_size}', '--num_classes=1000', NO_CHECKPOINTS,
            f'--log_loss_every_n_iters={FLAGS.steps}', turns.ENDLESS]
  speeds = turns.take({
      'photos': one_core + train(
          model, 1, folder / 'photos', *common, f'--dataset_name={FLAGS.dataset_name}',
          f'--dataset_dir={FLAGS.dataset_dir}', '--num_preprocessing_threads=1',
          '--prefetch_buffer_size=4'),
      'mock': one_core + train(model, 1, folder / 'mock', *common)}, FLAGS.rounds, 1)
  return speeds['photos'], speeds['mock'], 'images/s', 'random images'


MEASURES = {'start': start, 'memory': memory, 'input': hidden_input}


def bare_loop(model):
  """Train `model` in a plain TensorFlow loop on one batch of random images."""
  sys.path.insert(0, str(ROOT))
  from images.models import model_factory
  from images.utils.tf1 import tf
  tf.disable_eager_execution()
  network_fn = model_factory.get_network_fn(model, 100, is_training=True)
  size = network_fn.default_image_size
  images = tf.Variable(tf.random.uniform([FLAGS.batch_size, size, size, 3]), trainable=False)
  logits, _ = network_fn(images)
  labels = tf.zeros([FLAGS.batch_size], tf.int64)
  loss = tf.losses.sparse_softmax_cross_entropy(labels, logits)
  with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
    step = tf.train.MomentumOptimizer(0.001, 0.9).minimize(loss)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    for _ in range(FLAGS.steps):
      session.run(step)


def main(argv):
  """Measure and print a table."""
  if len(argv) > 1:
    raise app.UsageError(f'unexpected arguments {argv[1:]}')
  if FLAGS.bare:
    bare_loop(FLAGS.models[0])
    return
  print('| network | a run | | compared with | ratio | lowest to highest |')
  print('| --- | --- | --- | --- | --- | --- |')
  for model in FLAGS.models:
    with tempfile.TemporaryDirectory() as folder:
      ours, theirs, unit, name = MEASURES[FLAGS.what](model, pathlib.Path(folder))
    ratios = [own / other for own, other in zip(ours, theirs)]
    print(f'| {model} | {statistics.median(ours):.2f} {unit} | {statistics.median(theirs):.2f} '
          f'{unit} | {name} | {statistics.median(ratios):.2f} | '
          f'{min(ratios):.2f} to {max(ratios):.2f} |', flush=True)


if __name__ == '__main__':
  define_flags()
  app.run(main)
