"""Errors of a training run in words: what happened, where, and the remedy."""
import contextlib
import glob
import math
import os
import re
import shlex

from absl import logging

from images.datasets import tfrecord
from images.utils import checkpoint_utils, cluster_utils
from images.utils.tf1 import tf

# For how long to look for a corrupt file where other ranks wait.
_SEARCH_SECS = 40


class TrainingError(RuntimeError):
  """Training cannot go on; the message says why, and what to do."""


@contextlib.contextmanager
def explained(data_files, output_dir):
  """Turn the errors that a training session raises for known reasons into TrainingError.

  Args:
    data_files: list of strings, the TFRecord files that are read.
    output_dir: string, the directory of the run.
  """
  try:
    yield
  except tf.errors.OpError as error:
    raise TrainingError(_in_words(error, data_files, output_dir)) from error


def _in_words(error, data_files, output_dir):
  """Return what a tf.errors.OpError means for the run, in one line."""
  reason = _reason(error.message)
  if error.op is not None and error.op.type == 'RestoreV2':
    return (f'the checkpoint cannot be read: {reason}. Copy it again, or remove its files, then '
            'the same command goes on from the one before')
  if isinstance(error, tf.errors.DataLossError):
    logging.error('a record is corrupt (%s): reading all files to find out which', reason)
    # Meanwhile other ranks would wait, which cannot know for what.
    seconds = _SEARCH_SECS if cluster_utils.size() > 1 else math.inf
    return tfrecord.find_corruption(data_files, seconds) or (
        f'a file cannot be read: {reason}. This takes long, and names it: {_search(data_files)}')
  if re.search('No space left|File too large|quota', error.message):
    return (f'no space left for the run in {output_dir} ({reason}); {last_checkpoint(output_dir)}. '
            f'Free space and start the same command with --output_dir={output_dir} again')
  if isinstance(error, tf.errors.ResourceExhaustedError):
    return f'out of memory: {reason}. Lower --batch_size or --train_image_size'
  if re.search('Horovod has been shut down|/gloo/', reason):
    return ('another rank has ended, for a reason that stands in its own output; '
            f'{last_checkpoint(output_dir)}. The same command with --output_dir={output_dir} '
            'resumes the run')
  if 'Could not parse example' in reason:
    return f'a record is no tf.train.Example in one of {data_files[:5]}: {reason}'
  return _failed_assertion(error) or f'{reason} ({type(error).__name__}, traceback above)'


def _search(data_files):
  """Return the command that looks through all of the data files."""
  pattern = glob.escape(os.path.commonprefix(data_files))
  if len(data_files) > 1:
    pattern += '*' + os.path.splitext(data_files[0])[1]
  return 'python -c ' + shlex.quote(
      'from images.datasets import tfrecord; from images.utils.tf1 import tf; '
      f'print(tfrecord.find_corruption(sorted(tf.io.gfile.glob({pattern!r}))))')


def _reason(message):
  """Return the line of an error message of TensorFlow that says what is wrong.

  Before it come the places in the graph, and after it its nodes and stack.
  """
  lines = [line.strip() for line in message.splitlines() if line.strip()]
  nodes = [number for number, line in enumerate(lines) if line.startswith('Node: ')]
  lines = lines[nodes[-1] + 1:] if nodes else lines
  headings = ('Graph execution error:', 'root error(s) found.')
  lines = [line for line in lines if not line.endswith(headings)]
  where = r'^(\(\d+\) \w+: +)?(Error in user-defined function passed to .* iterator: \S+: )?'
  return re.sub(where, '', lines[0]) if lines else message


def _failed_assertion(error):
  """Return the words of the tf.debugging.Assert that failed; None if it was none."""
  found = re.search(r'assertion failed: (.*)', error.message)
  if not found:
    return None
  return ' '.join(word.strip(' "') for word in re.findall(r'\[([^\[\]]*(?:\[[^\]]*\)[^\[\]]*)?)\]',
                                                        found[1]))


def last_checkpoint(output_dir, bad_step=None):
  """Return in words which checkpoint of a run is the newest, and whether to go on from it.

  Args:
    output_dir: string, the directory of the run.
    bad_step: int, the global step of the weights with which training failed, or None.
  """
  path = checkpoint_utils.newest_in(output_dir)
  if not path:
    return 'no checkpoint was written yet'
  newest = f'the newest checkpoint, {path}, '
  if not path.endswith(f'-{bad_step}'):
    return newest + 'is whole'
  earlier = [step for step in checkpoint_utils.saved_steps(output_dir) if step < bad_step]
  if not earlier:
    return newest + 'holds the weights that led to it, and there is none before it'
  return (newest + f'holds the weights that led to it: remove its files ({path}.*), then the same '
          f'command goes on from the one before, model.ckpt-{earlier[-1]}')
