"""Errors of a training run in words: what happened, where, and the remedy."""
import contextlib
import re

from images.datasets import tfrecord
from images.utils.tf1 import tf


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
  except tf.errors.DataLossError as error:
    found = tfrecord.find_corruption(data_files)
    raise TrainingError(found or f'a file cannot be read: {error.message}') from error
  except tf.errors.InvalidArgumentError as error:
    raise TrainingError(_failed_assertion(error) or error.message) from error
  except tf.errors.OpError as error:
    if not re.search('No space left|File too large|quota', error.message):
      raise
    raise TrainingError(
        f'no space left for the run in {output_dir} ({error.message.splitlines()[0]}); '
        f'{last_checkpoint(output_dir)}. Free space and start the same command with '
        f'--output_dir={output_dir} again') from error


def _failed_assertion(error):
  """Return the words of the tf.debugging.Assert that failed; None if it was none."""
  found = re.search(r'assertion failed: (.*)', error.message)
  if not found:
    return None
  return ' '.join(word.strip(' "') for word in re.findall(r'\[([^\[\]]*(?:\[[^\]]*\)[^\[\]]*)?)\]',
                                                        found[1]))


def last_checkpoint(output_dir):
  """Return in words which checkpoint of a run is the newest."""
  path = tf.train.latest_checkpoint(output_dir)
  return f'the newest checkpoint, {path}, is whole' if path else 'no checkpoint was written yet'
