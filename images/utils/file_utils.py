"""Writes small files of a run completely or not at all, even if the disk is full."""
import contextlib
import json
import os
import uuid

from images.utils.tf1 import tf

UNWRITABLE = '--output_dir={} cannot be written: {}; choose another directory or free space'


def make_writable(directory):
  """Make `directory` if it is missing, and check that it can be written to.

  Raises:
    OSError: it cannot be written to.
  """
  probe = os.path.join(directory, f'.writable-{uuid.uuid4()}')
  try:
    tf.io.gfile.makedirs(directory)
    _write(probe, 'x')
    tf.io.gfile.remove(probe)
  except tf.errors.OpError as error:
    raise OSError(UNWRITABLE.format(directory, error.message)) from error


def write_json(path, content):
  """Write the dict `content` to `path` as JSON, under a temporary name first."""
  write_text(path, json.dumps(content, indent=2, sort_keys=True) + '\n')


def write_text(path, text):
  """Write `text` to `path`, under a temporary name first."""
  partial = f'{path}.{os.getpid()}.partial'  # Two evaluations may end at the same time.
  _write(partial, text)
  tf.io.gfile.rename(partial, path, overwrite=True)


def _write(path, text):
  """Write `text` to `path`; if that fails, remove what has been written."""
  try:
    with tf.io.gfile.GFile(path, 'w') as file:
      file.write(text)
  except tf.errors.OpError:
    with contextlib.suppress(tf.errors.OpError):
      tf.io.gfile.remove(path)
    raise
