"""Explains the errors of a training run: what happened, where, and the remedy."""
import contextlib
import glob
import math
import os
import re
import shlex

from absl import logging

from images.datasets import framing
from images.utils import checkpoint_utils, cluster_utils
from images.utils.tf1 import tf

# How many seconds to look for a corrupt file while other ranks wait.
_SEARCH_SECS = 40


class TrainingError(RuntimeError):
  """Training cannot continue; the message says why, and what to do."""


@contextlib.contextmanager
def explained(data_files, output_dir, checkpoint=None):
  """Turn TensorFlow's errors, and those of writing to the run's directory, into TrainingError.

  Args:
    data_files: list of strings, the TFRecord files that are read.
    output_dir: string, the directory of the run.
    checkpoint: string, the path of the checkpoint that the session restores, if any.

  Raises:
    TrainingError: with the cause in one line, and the remedy if one is known. Other errors pass
      unchanged.
  """
  try:
    yield
  except tf.errors.OpError as error:
    raise TrainingError(_in_words(error, data_files, output_dir, checkpoint)) from error
  except RuntimeError as error:  # Such as that of a writer of events.
    words = _unwritable(str(error), data_files, output_dir)
    if words is None or isinstance(error, TrainingError):
      raise
    raise TrainingError(words) from error


def _in_words(error, data_files, output_dir, checkpoint):
  """Return what a tf.errors.OpError means for the run, in one line."""
  reason = _reason(error.message)
  if error.op is not None and error.op.type == 'RestoreV2':
    return _unreadable(_constant(error.op.inputs[0]) or checkpoint, reason, output_dir)
  if isinstance(error, tf.errors.DataLossError):
    logging.error('a record is corrupt (%s): reading all files to find out which', reason)
    # Other ranks wait meanwhile, without knowing for what.
    seconds = _SEARCH_SECS if cluster_utils.size() > 1 else math.inf
    return framing.find_corruption(data_files, seconds) or (
        f'a file cannot be read: {reason}. To find it (this takes long), run: '
        f'{_search(data_files)}')
  unwritable = _unwritable(error.message, data_files, output_dir)
  if unwritable:
    return unwritable
  if 'Too many open files' in reason:
    return f'{reason}. Raise the limit (ulimit -n 65536), then start the same command again'
  if isinstance(error, tf.errors.ResourceExhaustedError):
    return f'out of memory: {reason}. Lower --batch_size or --train_image_size'
  if re.search('Horovod has been shut down|/gloo/', reason):
    return ('another rank has ended; its own output gives the reason; '
            f'{last_checkpoint(output_dir)}. The same command with --output_dir={output_dir} '
            'resumes the run')
  if 'Could not parse example' in reason:
    return (f'a record in one of {data_files[:5]} is not a tf.train.Example: {reason}; convert the '
            'data set again')
  if "Data types don't match" in reason:
    return (f'a record in one of {data_files[:5]} has a feature of the wrong type: {reason}. '
            'Labels have to be int64 and images bytes: convert the data set again')
  return _failed_assertion(error) or f'{reason} ({type(error).__name__}, traceback above)'


def _constant(path):
  """Return the value of a constant string tensor, such as a finetune's checkpoint; else None."""
  return tf.get_static_value(path).item().decode() if path.op.type == 'Const' else None


def _unreadable(checkpoint, reason, output_dir):
  """Return the message for a path `checkpoint` that cannot be read."""
  words = f'the checkpoint {checkpoint} cannot be read: {reason}. Copy all of its files again'
  if not checkpoint or os.path.dirname(checkpoint) != output_dir.rstrip('/'):
    return words
  return words + (f', or remove them ({checkpoint}.*), then the same command resumes from the one '
                  'before')


def _unwritable(message, data_files, output_dir):
  """Return the message for an error of writing to the directory of the run; else None."""
  is_named = (re.search(rf'(?<![\w./-]){re.escape(output_dir.rstrip("/"))}(?![\w.-])', message)
              and not any(file in message for file in data_files))
  if re.search('No space left|File too large|[Qq]uota exceeded', message):
    what, remedy = 'no space left for the run in', 'Free space'
  elif is_named and re.search('[Pp]ermi|Read-only|Input/output|Stale', message):
    what, remedy = 'the run can no longer write to', 'Fix that'
  else:
    return None
  return (f'{what} {output_dir} ({_reason(message)}); {last_checkpoint(output_dir)}. {remedy} and '
          f'start the same command with --output_dir={output_dir} again')


def _search(data_files):
  """Return the command that searches all data files for corruption."""
  pattern = glob.escape(os.path.commonprefix(data_files))
  if len(data_files) > 1:
    pattern += '*' + os.path.splitext(data_files[0])[1]
  return 'python -c ' + shlex.quote(
      'from images.datasets import framing; from images.utils.tf1 import tf; '
      f'print(framing.find_corruption(sorted(tf.io.gfile.glob({pattern!r}))))')


def _reason(message):
  """Return the line of an error message of TensorFlow that says what is wrong.

  The lines before it are places in the graph; those after it are nodes and the stack.
  """
  lines = [line.strip() for line in message.splitlines() if line.strip()]
  nodes = [number for number, line in enumerate(lines) if line.startswith('Node: ')]
  lines = lines[nodes[-1] + 1:] if nodes else lines
  headings = ('Graph execution error:', 'root error(s) found.')
  lines = [line for line in lines if not line.endswith(headings)]
  where = r'^(\(\d+\) \w+: +)?(Error in user-defined function passed to .* iterator: \S+: )?'
  return re.sub(where, '', lines[0]) if lines else message


def _failed_assertion(error):
  """Return the words of the tf.debugging.Assert that failed; None if none did."""
  found = re.search(r'assertion failed: (.*)', error.message)
  if not found:
    return None
  return ' '.join(word.strip(' "') for word in re.findall(r'\[([^\[\]]*(?:\[[^\]]*\)[^\[\]]*)?)\]',
                                                        found[1]))


def last_checkpoint(output_dir, bad_step=None):
  """Return in words which checkpoint of a run is the newest, and whether to resume from it.

  Args:
    output_dir: string, the directory of the run.
    bad_step: int, the global step of the weights with which training failed, or None.
  """
  path = checkpoint_utils.newest_in(output_dir)
  if not path:
    return 'no checkpoint was written yet'
  newest = f'the newest checkpoint, {path}, '
  if not path.endswith(f'-{bad_step}'):
    return newest + 'is complete'
  earlier = [step for step in checkpoint_utils.saved_steps(output_dir) if step < bad_step]
  if not earlier:
    return newest + 'holds the weights that failed, and there is no earlier one'
  return (newest + f'holds the weights that failed: remove its files ({path}.*), then the same '
          f'command resumes from the one before, model.ckpt-{earlier[-1]}')
