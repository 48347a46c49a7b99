"""The directory of a run: where it is, what it holds, and where a run goes on."""
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

from images.utils import checkpoint_utils, cluster_utils, file_utils, position_utils
from images.utils.tf1 import tf

RECORD = 'run.json'


def open_run_dir(output_dir, *, model_name, dataset_name):
  """Return the run's directory, the same on every rank, made and found writable by the chief.

  Args:
    output_dir: string, or None for a new directory under runs/.
    model_name, dataset_name: strings, parts of a new directory's name.

  Raises:
    OSError: the directory cannot be written.
    ValueError: no checkpoint could be found in it.
  """
  if not output_dir and cluster_utils.is_chief():
    now = datetime.datetime.now().strftime('%Y%m%d-%H%M%S')
    output_dir = _new_dir(os.path.join('runs', f'{now}-{model_name}-{dataset_name}'))
  output_dir = cluster_utils.broadcast_object(output_dir)
  checkpoint_utils.check_is_no_pattern(output_dir, '*?[\\')
  if cluster_utils.is_chief():
    file_utils.make_writable(output_dir)
  return output_dir


def _new_dir(path):
  """Make the directory `path`, with a number behind where it is there; return its path."""
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

  A process that dies, however it does, gives the directory free. What an interrupted saving of a
  checkpoint has left there is removed. Directories that are not local cannot be owned.

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
      raise RuntimeError(f'another run is writing to --output_dir={output_dir}: wait for its end, '
                         'or choose another directory') from error
    except OSError as error:  # Some network file systems have no locks.
      logging.warning('--output_dir=%s cannot be locked (%s): see to it that no other run writes '
                      'there', output_dir, error.strerror)
    else:
      for path in pathlib.Path(output_dir).glob('model.ckpt-*.tempstate*'):
        path.unlink()
    yield


def check_is_newest(checkpoint, output_dir):
  """Let the chief make sure that nobody has saved another since `checkpoint` was found.

  Args:
    checkpoint: string, the path that newest_checkpoint() gave, or None.
    output_dir: string, a directory that is owned by now.

  Raises:
    RuntimeError: the directory has another newest checkpoint.
  """
  newest = checkpoint_utils.newest_in(output_dir) if cluster_utils.is_chief() else checkpoint
  if newest != checkpoint:
    raise RuntimeError(f'another run has just saved {newest}: start the same command again, which '
                       'goes on from there')


def newest_checkpoint(output_dir):
  """Return (path, global step, images trained on, position in the data) of the newest checkpoint.

  Without one (None, 0, 0, []). The images are those of all steps and ranks; the position is as
  position_utils describes it, [] for mock data.

  Raises:
    ValueError: the checkpoint is damaged, or in another directory.
  """
  path = checkpoint_utils.newest_in(output_dir)
  if not path:
    named, file = checkpoint_utils.named_path(output_dir), os.path.join(output_dir, 'checkpoint')
    if named and tf.train.checkpoint_exists(named):
      raise ValueError(f'{file} names {named}, in another directory: copy its files to '
                       f'{output_dir}, or remove {file} to begin anew')
    return None, 0, 0, []
  try:
    reader = tf.train.load_checkpoint(path)
    images, position = (reader.get_tensor(name) if reader.has_tensor(name) else None
                        for name in ('images_trained', 'input_position'))
    return (path, int(reader.get_tensor('global_step')), int(images or 0),
            [] if position is None else position_utils.from_matrix(position))
  except (tf.errors.OpError, RuntimeError, ValueError, IndexError) as error:
    remedy = _if_no_run(path, output_dir) or (
        'Remove its files, then the same command goes on from the checkpoint before it')
    raise ValueError(f'{path} cannot be read: {error}. {remedy}') from error


def count_images(train_op, *, first_step, images, global_batch):
  """Return an operation that runs `train_op`, and keeps count of images in `images_trained`.

  A checkpoint has that variable: how far the epochs are cannot be told from the step once
  `global_batch` has changed, the number of images of a step over all ranks.

  Args:
    train_op: operation that makes a step.
    first_step: int, the global step at which training begins.
    images: int, those of the steps before.
    global_batch: int.
  """
  count = tf.get_variable('images_trained', [], tf.int64, trainable=False,
                          initializer=tf.zeros_initializer())
  with tf.control_dependencies([train_op]):
    steps = tf.train.get_global_step().read_value() - first_step
    return count.assign(images + steps * global_batch).op


def name_checkpoint(checkpoint, output_dir):
  """Mend the file `checkpoint` in `output_dir`, for TensorFlow restores what it names.

  Args:
    checkpoint: string, the path that newest_checkpoint() gave, or None.
    output_dir: string.
  """
  path = os.path.join(output_dir, 'checkpoint')
  named = checkpoint_utils.named_path(output_dir) or 'nothing'
  if checkpoint is None and tf.io.gfile.exists(path):
    tf.io.gfile.remove(path)
    logging.warning('%s named %s: it is removed, as there is no checkpoint', path, named)
  if checkpoint is None or os.path.realpath(checkpoint) == os.path.realpath(named):
    return
  name = os.path.basename(checkpoint)
  saved = [f'model.ckpt-{step}' for step in checkpoint_utils.saved_steps(output_dir)]
  lines = [f'model_checkpoint_path: "{name}"\n']
  lines += [f'all_model_checkpoint_paths: "{each}"\n' for each in dict.fromkeys([*saved, name])]
  file_utils.write_text(path, ''.join(lines))
  logging.warning('%s named %s; now it names %s beside it', path, named, name)


def check_resumable(checkpoint, output_dir):
  """Raise ValueError unless a run's newest checkpoint holds just the variables of the graph.

  Restoring would take weights of another shape without a word.
  """
  remedy = _if_no_run(checkpoint, output_dir) or (
      'The run was started with other flags or by an older version, see '
      f'{output_dir}/{RECORD}: use the same --model_name, --num_classes, --train_image_size, '
      '--dataset_name, --optimizer, --loss_scale, --trainable_scopes and --moving_average_decay, '
      'or another --output_dir.')
  checkpoint_utils.check_loadable(tf.global_variables(), checkpoint, remedy, exact=True)


def _if_no_run(checkpoint, output_dir):
  """Return what to do with `checkpoint` where `output_dir` is no directory of a run; else ''."""
  if tf.io.gfile.exists(os.path.join(output_dir, RECORD)):
    return ''
  return (f'{output_dir} is not the directory of a run, which has {RECORD}: to begin with its '
          'weights, choose another --output_dir, and --task_type=finetune '
          f'--model_dir={output_dir} --ckpt_file_name={os.path.basename(checkpoint)} '
          '--restore_moving_averages.')


def resume_point(output_dir):
  """Return the chief's newest_checkpoint() on every rank; only the chief needs to see it."""
  return cluster_utils.broadcast_object(
      newest_checkpoint(output_dir) if cluster_utils.is_chief() else None)


def code():
  """Return a digest of each source file of the project, a dict from its path."""
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

  There are none: all are initialised or restored. To look at each of them, twice, takes
  seconds in a large network.
  """
  none = tf.constant([], tf.string)
  return tf.train.Scaffold(ready_op=none, ready_for_local_init_op=none)


def write_record(output_dir, flag_values, **facts):
  """Write run.json: resolved flags, versions, number of ranks, and the `facts` given."""
  file_utils.write_json(os.path.join(output_dir, RECORD), {
      'flags': flag_values, 'versions': {'python': platform.python_version(), **versions()},
      'transport': cluster_utils.transport(), 'ranks': cluster_utils.size(), **facts})


def _by_name(files):
  """Return what is the same of files wherever they are: their names and numbers of records."""
  return sorted((os.path.basename(path), count) for path, count in files.items())


def warn_of_changes(directory, flag_values, *, ranks=None, files=None):
  """Let the chief log what is not as the run in `directory` had it.

  Args:
    directory: string; without a record of a run nothing is changed.
    flag_values: dict from the names of flags to their values.
    ranks: int, the number of processes, where it matters.
    files: dict from the paths of the training files to their numbers of records, likewise.
  """
  path = os.path.join(directory, RECORD)
  if not cluster_utils.is_chief() or not tf.io.gfile.exists(path):
    return
  try:
    with tf.io.gfile.GFile(path) as file:
      record = json.load(file)
    recorded = record['flags']
  except (ValueError, KeyError, TypeError):
    logging.warning('%s is damaged: what is not as in the run so far cannot be told', path)
    return
  values = json.loads(json.dumps(flag_values))
  changed = [f'--{name} is {value!r}, was {recorded[name]!r}' for name, value in values.items()
             if name in recorded and recorded[name] != value]
  if ranks not in (None, record.get('ranks')):
    changed.append(f'{ranks} ranks, were {record.get("ranks")}: the global batch and the '
                   'steps of an epoch change with it')
  if files is not None and _by_name(files) != _by_name(record.get('files', {})):
    changed.append('the training files are others, or have other numbers of records: in this epoch '
                   'some come twice and some not at all')
  if changed:
    logging.warning('not as in the run so far, %s: %s', path, '; '.join(changed))
