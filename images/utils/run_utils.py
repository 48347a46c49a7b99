"""Manages the directory of a run: where it is, who writes to it, and the record of the run."""
import contextlib
import datetime
import fcntl
import hashlib
import importlib.metadata
import itertools
import json
import os
import pathlib
import platform

from absl import logging

from images.utils import checkpoint_utils, cluster_utils, file_utils
from images.utils.tf1 import tf

RECORD = 'run.json'


def open_run_dir(output_dir, *, model_name, dataset_name):
  """Return the run's directory, the same on every rank; the chief makes it and checks it.

  Args:
    output_dir: string, or None for a new directory under runs/.
    model_name, dataset_name: strings, parts of a new directory's name.

  Raises:
    OSError: the directory cannot be written to.
    ValueError: the path has *, ?, [ or \\ in it, which TensorFlow takes for a pattern.
  """
  if not output_dir and cluster_utils.is_chief():
    now = datetime.datetime.now().strftime('%Y%m%d-%H%M%S')
    output_dir = _new_dir(os.path.join('runs', f'{now}-{model_name}-{dataset_name}'))
  # With two slashes before a file name TensorFlow does not delete the data files of checkpoints.
  output_dir = cluster_utils.broadcast_object(output_dir).rstrip('/') or '/'
  checkpoint_utils.check_is_no_pattern(output_dir, '*?[\\')
  if cluster_utils.is_chief():
    file_utils.make_writable(output_dir)
  return output_dir


def _new_dir(path):
  """Make the directory `path`, with a number appended if it exists; return its path."""
  names = itertools.chain([path], (f'{path}-{number}' for number in itertools.count(2)))
  while True:
    name = next(names)
    try:
      os.makedirs(name)
    except FileExistsError:
      continue
    except OSError as error:
      raise OSError(file_utils.UNWRITABLE.format(name, error.strerror)) from error
    return name


@contextlib.contextmanager
def owned(output_dir):
  """Keep other runs out of `output_dir` while the context lasts.

  The directory is released however the process ends. What an interrupted save of a checkpoint has
  left there is removed. Remote directories cannot be locked; nothing is done for them.

  Raises:
    RuntimeError: another process owns the directory.
  """
  if not cluster_utils.is_chief() or '://' in output_dir:
    yield
    return
  with open(os.path.join(output_dir, '.lock'), 'w') as lock:
    try:
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise RuntimeError(f'another run is writing to --output_dir={output_dir}: wait until it '
                         'ends, or choose another directory') from error
    except OSError as error:  # Some network file systems have no locks.
      logging.warning('--output_dir=%s cannot be locked (%s): make sure that no other run '
                      'writes there', output_dir, error.strerror)
    else:
      for path in pathlib.Path(output_dir).glob('model.ckpt-*.tempstate*'):
        path.unlink()
    yield


def code():
  """Return a dict from the paths of the project's source files to their digests."""
  root = pathlib.Path(__file__).parents[2]
  files = [root / 'flags.py', root / 'train_image_classifiers.py', *root.glob('images/**/*.py')]
  return {str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest()[:8]
          for file in files}


def versions():
  """Return the versions of the packages that the project is written for, a dict by their names."""
  return {name: importlib.metadata.version(name)
          for name in ('tensorflow', 'tf-keras', 'tf-slim', 'numpy', 'absl-py')}


def scaffold():
  """Return the tf.train.Scaffold of a run, which does not look for uninitialized variables.

  There are none: all are initialised or restored. Checking each of them, twice, takes seconds in a
  large network.
  """
  none = tf.constant([], tf.string)
  return tf.train.Scaffold(ready_op=none, ready_for_local_init_op=none)


def write_record(output_dir, flag_values, **facts):
  """Write run.json: resolved flags, versions, number of ranks, and the `facts` given."""
  file_utils.write_json(os.path.join(output_dir, RECORD), {
      'flags': flag_values, 'versions': {'python': platform.python_version(), **versions()},
      'transport': cluster_utils.transport(), 'ranks': cluster_utils.size(), **facts})


def _by_name(files):
  """Return what does not depend on the directory of files: their names and numbers of records."""
  return sorted((os.path.basename(path), count) for path, count in files.items())


def warn_of_changes(directory, flag_values, *, ranks=None, files=None):
  """Let the chief log what has changed since the run in `directory` was recorded.

  Args:
    directory: string; without a record of a run in it nothing is logged.
    flag_values: dict from the names of flags to their values.
    ranks: int, the number of processes, or None if it does not matter.
    files: dict from the paths of the training files to their numbers of records, or None likewise.
  """
  path = os.path.join(directory, RECORD)
  if not cluster_utils.is_chief() or not tf.io.gfile.exists(path):
    return
  try:
    with tf.io.gfile.GFile(path) as file:
      record = json.load(file)
    recorded = record['flags']
  except (ValueError, KeyError, TypeError):
    logging.warning('%s is damaged: cannot tell what has changed since the run began', path)
    return
  values = json.loads(json.dumps(flag_values))
  changed = [f'--{name} is {value!r}, was {recorded[name]!r}' for name, value in values.items()
             if name in recorded and recorded[name] != value]
  if ranks not in (None, record.get('ranks')):
    changed.append(f'{ranks} ranks, were {record.get("ranks")}: this changes the global batch and '
                   'the number of steps per epoch')
  if files is not None and _by_name(files) != _by_name(record.get('files', {})):
    changed.append('the training files or their numbers of records differ: in this epoch some '
                   'records are read twice and some not at all')
  if changed:
    logging.warning('changed since %s was written: %s', path, '; '.join(changed))
