"""Which checkpoint variables a finetune loads; edit the first function to choose."""
from images.utils import checkpoint_utils
from images.utils.tf1 import tf

_MOVING_AVERAGES = ('moving_mean', 'moving_variance')
_MOST_NAMES = 20  # If a line of loading_report() has more names, it shows only the first 4.


def get_assigment_map_from_checkpoint(variables, checkpoint_shapes, *,  # sic: the published name
                                      restore_moving_averages=False, exclude_scopes=(),
                                      use_ema_weights=False):
  """Choose which variables of the network take their value from a checkpoint.

  Args:
    variables: list of variables of the network, trainable or not.
    checkpoint_shapes: dict from names in the checkpoint to shapes (lists of ints).
    restore_moving_averages: bool, whether to load batch-norm statistics.
    exclude_scopes: names of scopes that are not loaded.
    use_ema_weights: bool, whether to load the exponential moving averages of variables.

  Returns:
    assignment_map: dict from names in the checkpoint to variables.
    left_out: dict from names of the other variables to the reason, a string.

  Raises:
    ValueError: a scope of `exclude_scopes` has no variable, or `use_ema_weights` is set and the
      checkpoint has no averages.
  """
  for scope in exclude_scopes:
    if not any(_is_within(variable, scope) for variable in variables):
      raise ValueError(f'--checkpoint_exclude_scopes: no variable in {scope!r}; '
                       f'scopes: {_scopes(variables)}')
  trainable = {variable.op.name for variable in tf.trainable_variables()}
  stored = checkpoint_utils.stored_names(variables, checkpoint_shapes,
                                         use_ema_weights=use_ema_weights)
  assignment_map, left_out = {}, {}
  for variable in variables:
    name, shape = variable.op.name, variable.shape.as_list()
    stored_shape = checkpoint_shapes.get(stored[name])
    if any(_is_within(variable, scope) for scope in exclude_scopes):
      left_out[name] = 'in --checkpoint_exclude_scopes'
    elif name.endswith(_MOVING_AVERAGES) and not restore_moving_averages:
      left_out[name] = 'moving average, --restore_moving_averages loads it'
    elif name not in trainable and not name.endswith(_MOVING_AVERAGES):
      left_out[name] = 'not trainable'
    elif stored_shape is None:
      left_out[name] = 'not in the checkpoint'
    elif list(stored_shape) != shape:
      left_out[name] = (f'shape {stored_shape} in the checkpoint, {shape} here'
                        f'{checkpoint_utils.shape_hint(list(stored_shape), shape)}')
    else:
      assignment_map[stored[name]] = variable
  return assignment_map, left_out


def load_checkpoint(variables, path, **choice):
  """Make `variables` start from the checkpoint `path`.

  Args:
    variables: list of the network's variables.
    path: string, from checkpoint_utils.checkpoint_path().
    **choice: keyword arguments of get_assigment_map_from_checkpoint().

  Returns:
    What get_assigment_map_from_checkpoint() returned.

  Raises:
    ValueError: nothing in the checkpoint matches, or a chosen variable is not in it or has another
      dtype there.
  """
  shapes = checkpoint_utils.checkpoint_shapes(path)
  assignment_map, left_out = get_assigment_map_from_checkpoint(variables, shapes, **choice)
  if not assignment_map:
    report = loading_report(path, assignment_map, left_out)
    raise ValueError(f'\n{report}\nnothing in {path}, which holds {sorted(shapes)[:3]}..., matches '
                     'a variable of the network: is --model_name the network of the checkpoint?')
  missing = [name for name in assignment_map if name not in shapes]
  if missing:
    raise ValueError(f'get_assigment_map_from_checkpoint() names {missing[:3]}, which {path} '
                     'does not have: it has to map names of variables in the checkpoint, not of '
                     'scopes')
  checkpoint_utils.check_dtypes(assignment_map, path)
  tf.train.init_from_checkpoint(path, assignment_map)
  return assignment_map, left_out


def loading_report(path, assignment_map, left_out):
  """Return a table of what is loaded and what is not, a line for each reason.

  For a reason that many variables share, such as being moving averages, it names a few of them.
  """
  lines = [f'{len(assignment_map):5} variables loaded from {path}']
  by_reason = {}
  for name, reason in left_out.items():
    by_reason.setdefault(reason, []).append(name)
  for reason, names in by_reason.items():
    shown = names if len(names) <= _MOST_NAMES else [*names[:4], f'and {len(names) - 4} more']
    lines.append(f'{len(names):5} not loaded, {reason}: {", ".join(shown)}')
  return '\n'.join(lines)


def split_scopes(scopes, flag):
  """Return the list of the names in comma-separated `scopes`; [] if it is None or empty.

  Raises:
    ValueError: `scopes` names none; the message names the `flag`.
  """
  names = [scope.strip() for scope in (scopes or '').split(',') if scope.strip()]
  if scopes and not names:
    raise ValueError(f'--{flag}={scopes!r} names no scope')
  return names


def scope_variables(scopes):
  """Return the trainable variables in the comma-separated `scopes`; all if it is None or empty.

  Raises:
    ValueError: a scope has no trainable variable, or none is named.
  """
  if not scopes:
    return tf.trainable_variables()
  variables = {}  # By name: a variable in two of the scopes must not be trained twice.
  for scope in split_scopes(scopes, 'trainable_scopes'):
    found = [v for v in tf.trainable_variables() if _is_within(v, scope)]
    if not found:
      raise ValueError(f'--trainable_scopes: no variable in {scope!r}; '
                       f'scopes: {_scopes(tf.trainable_variables())}')
    variables.update((v.op.name, v) for v in found)
  return list(variables.values())


def _is_within(variable, scope):
  return variable.op.name.startswith(scope.rstrip('/') + '/')


def _scopes(variables):
  """Return in words the innermost scopes of `variables`: at most ten, from the end."""
  names = sorted({variable.op.name.rpartition('/')[0] for variable in variables})
  return f'{names[-10:]}{" and others" if len(names) > 10 else ""}'


def model_statistics(variables):
  """Return a table of name, shape and size of each variable, and the sum of sizes, a string."""
  rows = [(v.op.name, str(v.shape.as_list()), v.shape.num_elements()) for v in variables]
  width = max((len(name) for name, _, _ in rows), default=0)
  lines = [f'{name:{width}}  {shape:20} {size:12,}' for name, shape, size in rows]
  return '\n'.join([*lines, f'{sum(size for _, _, size in rows):,} trainable parameters'])
