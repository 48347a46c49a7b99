"""Finds checkpoints on disk and inspects what they hold."""
import contextlib
import os
import re

from images.utils.tf1 import tf

_AVERAGE = '/ExponentialMovingAverage'
_PACKED = ('.gz', '.tgz', '.zip')  # Archives in which checkpoints are published.


def checkpoint_path(model_dir, ckpt_file_name, flag='--model_dir'):
  """Return the path prefix of a checkpoint.

  Args:
    model_dir: string, the directory.
    ckpt_file_name: string, the prefix in it (model.ckpt-1234), any file of the checkpoint
      (model.ckpt-1234.index), a single file of the old format (resnet_v1_50.ckpt), or a
      subdirectory; None is `model_dir` itself. A directory stands for its newest checkpoint.
    flag: string, the flag that gave `model_dir`, for error messages.

  Raises:
    ValueError: `model_dir` is missing, or TensorFlow would take the path for a pattern.
    FileNotFoundError: there is no such checkpoint; the message lists files of the directory.
  """
  if not model_dir:
    raise ValueError(f'{flag} is needed: the directory of the checkpoint')
  path = os.path.join(model_dir, ckpt_file_name) if ckpt_file_name else model_dir
  check_is_no_pattern(path)
  if tf.io.gfile.isdir(path):
    newest = newest_in(path) or _existing(named_path(path))
    if newest is None:
      raise FileNotFoundError(f'no checkpoint in {path} ({flag}, --ckpt_file_name); files: '
                              f'{_names_in(path)}')
    return newest
  # The prefix comes first: a file of the checkpoint would pass for a checkpoint in the old format.
  for candidate in (re.sub(r'\.(index|meta|data-\d+-of-\d+)$', '', path), path):
    if tf.train.checkpoint_exists(candidate):
      return candidate
  raise FileNotFoundError(
      f'no checkpoint {path}: check {flag} and --ckpt_file_name; files in {model_dir}: '
      f'{_names_in(model_dir)}')


def _names_in(directory):
  names = sorted(tf.io.gfile.listdir(directory)) if tf.io.gfile.isdir(directory) else []
  return ', '.join(names[:20]) or 'none'


def check_is_no_pattern(path, characters='[\\'):
  """Raise ValueError if `path` has any of `characters`, which TensorFlow would take for a pattern.

  With [ or \\ TensorFlow does not find a checkpoint again; with * or ? it would also match other
  checkpoints when it deletes old ones.
  """
  found = sorted(set(path) & set(characters))
  if found:
    raise ValueError(f'{path!r} has {" ".join(found)} in it, which TensorFlow takes for a pattern '
                     'in the path of a checkpoint: choose another directory')


def named_path(directory):
  """Return the path, existing or not, that the file `checkpoint` in `directory` names, or None."""
  with contextlib.suppress(ValueError):  # The file is empty.
    state = tf.train.get_checkpoint_state(directory)
    return state and state.model_checkpoint_path


def _existing(path):
  return path if path and tf.train.checkpoint_exists(path) else None


def newest_in(directory):
  """Return the path of the newest checkpoint in `directory`, or None.

  It is the one that the file `checkpoint` names. If that one is missing, for example after a kill
  between the two writes, it is the one with the highest step.
  """
  named = named_path(directory)
  # Only the basename counts: in a copied directory the file still names the original path.
  newest = _existing(named and os.path.join(directory, os.path.basename(named)))
  steps = saved_steps(directory)
  return newest or (os.path.join(directory, f'model.ckpt-{steps[-1]}') if steps else None)


def saved_steps(output_dir):
  """Return the global steps of the checkpoints in the directory of a run, a sorted list."""
  names = tf.io.gfile.listdir(output_dir) if tf.io.gfile.isdir(output_dir) else []
  found = [re.fullmatch(r'model\.ckpt-(\d+)\.index', name) for name in names]
  return sorted(int(match[1]) for match in found if match)


def checkpoint_shapes(path):
  """Return a dict from the names in the checkpoint `path` to their shapes.

  Raises:
    ValueError: `path` is not a complete checkpoint.
  """
  return _reader(path).get_variable_to_shape_map()


def _reader(path):
  try:
    return tf.train.load_checkpoint(path)
  except (tf.errors.OpError, RuntimeError) as error:
    if path.endswith(_PACKED):
      raise ValueError(f'{path} is an archive: unpack it, and name the checkpoint in it') from error
    raise ValueError(f'{path} is not a complete TensorFlow checkpoint ({error}): copy all of its '
                     'files again, unless the run that wrote it has removed it to make room '
                     '(--max_checkpoints_to_keep)') from error


def check_dtypes(stored, path):
  """Raise ValueError unless a checkpoint holds the variables in their own dtypes.

  Args:
    stored: dict from the names in the checkpoint to the variables.
    path: string, from checkpoint_path().
  """
  dtypes = _reader(path).get_variable_to_dtype_map()
  wrong = [f'{name} is {dtypes[name].name} in it, {variable.dtype.base_dtype.name} here'
           for name, variable in stored.items() if dtypes[name] != variable.dtype.base_dtype]
  if wrong:
    raise ValueError(f'{path} holds {len(wrong)} variables in other dtypes: {wrong[0]}. Save it '
                     'again with the dtypes of the network')


def stored_names(variables, shapes, *, use_ema_weights=False):
  """Return a dict from the names of `variables` to the names they have in a checkpoint.

  Args:
    variables: list of variables.
    shapes: dict from names in the checkpoint to shapes, from checkpoint_shapes().
    use_ema_weights: bool, whether to prefer a variable's exponential moving average, which
      tf.train.ExponentialMovingAverage saves next to it.

  Raises:
    ValueError: `use_ema_weights` is set, but the checkpoint has no average of any variable.
  """
  names = {variable.op.name: variable.op.name for variable in variables}
  if not use_ema_weights:
    return names
  averages = {name: name + _AVERAGE for name in names if name + _AVERAGE in shapes}
  if not averages:
    raise ValueError(f'--use_ema_weights: the checkpoint holds no average of a variable of the '
                     f'network, such as {next(iter(names), "x")}{_AVERAGE}; leave the flag out')
  return {**names, **averages}


def shape_hint(stored_shape, shape):
  """Return a hint if the shapes differ by a background class or by grey for colour; else ''.

  Args:
    stored_shape: list of ints, the shape in the checkpoint.
    shape: list of ints, the shape in the network.
  """
  if len(shape) == 4 and shape[2] == 3 and stored_shape == [*shape[:2], 1, shape[3]]:
    return ', as it was trained on greyscale images, while all images here have three channels'
  if not shape or None in shape or stored_shape != [*shape[:-1], shape[-1] + 1]:
    return ''
  return (f'; if its class 0 is background, --num_classes={stored_shape[-1]} --labels_offset=-1 '
          'fits labels that start at 0')


def check_loadable(variables, path, remedy='Check --model_name and --num_classes.', *,
                   use_ema_weights=False, exact=False):
  """Raise ValueError unless the checkpoint `path` holds every variable in its shape and dtype.

  Args:
    variables: list of variables.
    path: string, from checkpoint_path().
    remedy: string, the end of the error message.
    use_ema_weights: bool, see stored_names().
    exact: bool, whether the checkpoint must not hold anything else.

  Returns:
    dict from the names in the checkpoint to the variables.
  """
  shapes = checkpoint_shapes(path)
  names = stored_names(variables, shapes, use_ema_weights=use_ema_weights)
  stored = {names[variable.op.name]: variable for variable in variables}
  wrong = []
  for name, variable in stored.items():
    shape = variable.shape.as_list()
    if name not in shapes:
      wrong.append(f'{name} is not in it')
    elif not variable.shape.is_compatible_with(shapes[name]):
      wrong.append(f'{name} has shape {shapes[name]} in it, {shape} here'
                   f'{shape_hint(list(shapes[name]), shape)}')
  if exact:
    wrong += [f'{name} is in it, but not here' for name in sorted(set(shapes) - set(stored))]
  if wrong:
    raise ValueError(f'{path} does not fit the network: {"; ".join(wrong[:4])}'
                     f'{f"; and {len(wrong) - 4} more" if len(wrong) > 4 else ""}. {remedy}')
  check_dtypes(stored, path)
  return stored
