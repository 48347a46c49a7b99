"""Reads and writes the parts of a data set: examples, files, labels.txt and manifest.json."""
import contextlib
import json
import os
import re

from images.datasets import framing
from images.utils.tf1 import tf

LABELS = 'labels.txt'
MANIFEST = 'manifest.json'
_FORMAT = 1
_CONVERT = 'convert the data set again with download_and_convert_data.py'

# What training reads; records may hold more. There are no defaults: an unlabelled record is not of
# class 0.
_FEATURES = {
    'image/encoded': tf.FixedLenFeature((), tf.string),
    'image/class/label': tf.FixedLenFeature((), tf.int64),
}


def parse_example(example):
  """Parse one serialized tf.train.Example.

  Args:
    example: scalar string tensor.

  Returns:
    encoded: scalar string tensor, the bytes of a JPEG or PNG file.
    label: scalar int64 tensor.

  Raises (when the graph runs):
    InvalidArgumentError: the record has no image/encoded or no image/class/label.
  """
  with tf.device('/cpu:0'):
    features = tf.parse_single_example(example, features=_FEATURES)
    return features['image/encoded'], features['image/class/label']


parse_example.features = _FEATURES  # For preparation_utils: what every record has to hold.


def make_example(encoded, label, *, image_format, height, width, filename=''):
  """Return one image as a serialized tf.train.Example, the same bytes for the same arguments.

  Args:
    encoded: bytes of a JPEG or PNG file.
    label: int, the class, from 0.
    image_format: 'jpeg' or 'png'.
    height, width: ints, in pixels.
    filename: string, where the image came from.
  """
  def one(value):
    if isinstance(value, int):
      return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
  features = {
      'image/encoded': one(encoded),
      'image/format': one(image_format.encode()),
      'image/class/label': one(int(label)),
      'image/height': one(int(height)),
      'image/width': one(int(width)),
      'image/filename': one(os.fsencode(filename)),
  }
  example = tf.train.Example(features=tf.train.Features(feature=features))
  return example.SerializeToString(deterministic=True)


def partial_name(path):
  """Return the name under which `path` is written until it is complete."""
  return path + '.partial'


@contextlib.contextmanager
def writing(paths, replaced=()):
  """Write local TFRecord files that get their names once all are complete, the last one first.

  Args:
    paths: list of strings, the final names.
    replaced: list of strings, files that are removed before the first of `paths` gets its name, so
      that a process killed in between leaves no mixture of new and old.

  Yields:
    A list of `tf.io.TFRecordWriter`, one for each path. When the block raises, the
    unfinished files are removed and files that were there before are untouched.
  """
  partials = [partial_name(path) for path in paths]
  writers = []
  try:
    for partial in partials:
      writers.append(tf.io.TFRecordWriter(partial))
    yield writers
    for writer in writers:
      writer.close()
    for partial in partials:
      _sync(partial)
    _remove(replaced)
    for partial, path in reversed([*zip(partials, paths)]):
      os.replace(partial, path)
  finally:
    _discard(writers, partials)


def _discard(writers, partials):
  """Close `writers` and remove the files of `partials` that are still there."""
  for writer in writers:
    # Closing a file on a full disk raises an error that would hide the original one.
    with contextlib.suppress(tf.errors.OpError):
      writer.close()
  _remove(partials)


def _remove(paths):
  for path in paths:
    with contextlib.suppress(FileNotFoundError):
      os.remove(path)


def publish(partial, path):
  """Rename the local file `partial` to `path` once its bytes are on the disk."""
  _sync(partial)
  os.replace(partial, path)


def _sync(path):
  """Wait until the bytes of a local file are on the disk."""
  with open(path, 'rb') as file:
    os.fsync(file.fileno())


def _write_text(path, text):
  """Write a small local text file atomically."""
  with open(partial_name(path), 'w', encoding='utf-8') as file:
    file.write(text)
  publish(partial_name(path), path)


def write_labels(dataset_dir, classes):
  """Write labels.txt: one line `<label>:<class name>` for each class."""
  lines = [f'{label}:{name}\n' for label, name in enumerate(classes)]
  _write_text(os.path.join(dataset_dir, LABELS), ''.join(lines))


def read_labels(dataset_dir):
  """Return the class names in labels.txt, a dict keyed by label; None if there is no such file.

  If not every line is `<label>:<class name>`, each is a class name, and labels count from 0.
  """
  path = os.path.join(dataset_dir, LABELS)
  if not tf.io.gfile.exists(path):
    return None
  with tf.io.gfile.GFile(path) as file:
    lines = file.read().lstrip('\ufeff').rstrip().splitlines()
  found = [re.fullmatch(r'(\d+):(.*)', line) for line in lines]
  if not all(found):
    return dict(enumerate(lines))
  return {int(match[1]): match[2] for match in found}


def write_manifest(dataset_dir, manifest):
  """Write manifest.json atomically, after all other files: it marks them as complete.

  Args:
    dataset_dir: string, a local folder.
    manifest: dict with 'dataset' (name), 'classes' (list of names), 'train_files' and
      'test_files' (lists of file names) and 'files', a dict from file names to
      {'records': int, 'bytes': int, 'labels': [smallest, largest]}.
  """
  text = json.dumps({'format': _FORMAT, **manifest}, indent=1)
  _write_text(os.path.join(dataset_dir, MANIFEST), text + '\n')


def read_manifest(dataset_dir):
  """Return the manifest of `dataset_dir`, see `write_manifest`; None if there is none.

  Raises:
    ValueError: the file is damaged, or was written by a later version.
  """
  path = os.path.join(dataset_dir, MANIFEST)
  if not tf.io.gfile.exists(path):
    return None
  with tf.io.gfile.GFile(path, 'rb') as file:
    text = file.read()
  try:
    manifest = json.loads(text)
    whole = manifest.get('format', _FORMAT) == _FORMAT and _is_whole(manifest)
  except (ValueError, KeyError, TypeError, AttributeError):
    whole = False
  if not whole:
    raise ValueError(f'{path}: not a manifest of format {_FORMAT}; remove it (the records are '
                     f'then counted at every start), or {_CONVERT}')
  return manifest


def _is_whole(manifest):
  """Return whether `manifest` holds all that readers rely on, with the right types."""
  return (isinstance(manifest['dataset'], str)
          and all(isinstance(name, str) for name in manifest['classes'])
          and all(isinstance(number, int)
                  for entry in manifest['files'].values()
                  for number in (entry['records'], entry['bytes'], *entry['labels'])))


def record_counts(paths, manifest, flag='train_files'):
  """Return the number of records of each file.

  Args:
    paths: list of strings.
    manifest: dict from `read_manifest`, or None. It is trusted for each file that still has
      the size it states; the records of other files are counted.
    flag: string, the name of the flag that chooses the files, for error messages.

  Raises:
    FileNotFoundError: a file is missing.
    ValueError: a file has no records, or is corrupt (framing.CorruptRecordError).
  """
  return [_record_count(path, (manifest or {}).get('files', {}), flag) for path in paths]


def _record_count(path, entries, flag):
  if not tf.io.gfile.exists(path):
    raise FileNotFoundError(f'{path} does not exist; check --dataset_dir and --{flag}, or '
                            'make the data set with download_and_convert_data.py')
  entry = current_entry(path, entries)
  count = entry['records'] if entry else framing.count_records(path)
  if count == 0:
    raise ValueError(f'{path} has no records; leave it out of --{flag}, or {_CONVERT}')
  return count


def current_entry(path, entries):
  """Return a file's entry in the 'files' of a manifest; None without one of the file's size."""
  entry = entries.get(os.path.basename(path))
  return entry if entry and entry['bytes'] == tf.io.gfile.stat(path).length else None
