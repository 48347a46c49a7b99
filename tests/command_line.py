"""Runs train_image_classifiers.py as a user does, in a process of its own or in this one."""
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
from absl import flags
from absl.testing import flagsaver

import train_image_classifiers
from images.utils.tf1 import tf
from tests.datasets import make_data

SCRIPT = pathlib.Path(train_image_classifiers.__file__).resolve()
DIGITS = [str(digit) for digit in range(10)]

# A network of 300,000 weights on pictures of 8 x 8 pixels.
TINY = {
    'enable_paisoar': False, 'dataset_name': 'cifar10', 'model_name': 'lenet', 'num_classes': 10,
    'train_image_size': 8, 'batch_size': 4, 'optimizer': 'sgd', 'stop_at_step': 4,
    'num_preprocessing_threads': 2, 'num_parallel_batches': 1,
}


def write_dataset(folder, *, train=40, test=21):
  """Write a data set cifar10 of random pictures of 8 x 8 pixels; return its path, a string."""
  make_data.write_dataset(folder, 'cifar10', {
      'cifar10_train.tfrecord': [k % 10 for k in range(train)],
      'cifar10_test.tfrecord': [k % 10 for k in range(test)]}, classes=DIGITS, size=8)
  return str(folder)


def arguments(values):
  """Return a dict of flags as a list of command-line arguments."""
  return [f'--{name}={value}' for name, value in values.items()]


def start(values, *, launcher=(), environment=None, **options):
  """Start the script with the dict of flags `values`; return its Popen."""
  return subprocess.Popen(
      [*launcher, sys.executable, str(SCRIPT), *arguments(values)], text=True,
      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
      env={**os.environ, **(environment or {})}, **options)


def run(values, *, timeout=240, **options):
  """Run the script to its end; return (exit code, what it printed)."""
  process = start(values, **options)
  try:
    output, _ = process.communicate(timeout=timeout)
  finally:
    kill(process)
  return process.returncode, output


def wait_for(path, process, seconds=200):
  """Wait until `path` is there, which a process of start() makes while it runs on."""
  deadline = time.monotonic() + seconds
  while not path.exists():
    assert process.poll() is None, process.communicate()[0]
    assert time.monotonic() < deadline, f'no {path} after {seconds} s'
    time.sleep(0.05)


def kill(process):
  """End a process of start() and those that it has started, at once."""
  try:
    os.killpg(process.pid, signal.SIGKILL)
  except ProcessLookupError:
    return
  process.wait()


def main(**values):
  """Run the script in this process with the flags TINY, and over them `values`."""
  if not flags.FLAGS.is_parsed():
    flags.FLAGS([str(SCRIPT)])
  with flagsaver.flagsaver(), tf.Graph().as_default():
    flags.FLAGS([str(SCRIPT), *arguments({**TINY, **values})])
    train_image_classifiers.main([str(SCRIPT)])


def variables(checkpoint):
  """Return a dict from the names in a checkpoint to their values."""
  reader = tf.train.load_checkpoint(str(checkpoint))
  return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def assert_same_variables(one, other):
  """Assert that two checkpoints hold the same names with the same values, bit for bit."""
  one, other = variables(one), variables(other)
  assert sorted(one) == sorted(other)
  for name, value in one.items():
    np.testing.assert_array_equal(value, other[name], name)
