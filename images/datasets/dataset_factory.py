"""The data sets by name: their files, and the iterators that read them."""
import collections
import contextlib
import glob
import os
import re

from absl import logging

from images.datasets import cifar10, digits, flowers, image_folder, mnist, tfrecord
from images.utils import cluster_utils, dataset_utils, name_utils
from images.utils.tf1 import tf

MOCK = 'mock'  # Random images without files.

# name -> module with parse_fn(example) and, if the data set has its own file names, TRAIN_FILES
# and TEST_FILES: names or glob patterns, in a list or comma-separated as in the flags.
datasets_map = {
    'cifar10': cifar10,
    'digits': digits,
    'flowers': flowers,
    'image_folder': image_folder,
    'mnist': mnist,
}

# mock is as large as ImageNet's training set.
_MOCK_RECORDS = 1281167

DataSources = collections.namedtuple('DataSources', ['files', 'counts', 'manifest', 'classes'])
DataSources.__doc__ = ('Paths of TFRecord files, their record counts, the manifest or None, and '
                       'how many classes the data set has, 0 where nothing tells.')


def get_data_sources(dataset_name, dataset_dir, file_names=None, *, is_training=True):
  """Return the DataSources of a data set: its files and their sizes, manifest and classes.

  Args:
    dataset_name: string, a key of datasets_map, or 'mock'.
    dataset_dir: string, the directory of the files.
    file_names: string, comma-separated names or glob patterns under dataset_dir; by
      default the data set's own list.
    is_training: bool, whether the training or the evaluation files are wanted.

  Raises:
    ValueError: unknown data set, no dataset_dir, no list of files, an incomplete set of
      them, or an empty or corrupt file; or files for mock data.
    FileNotFoundError: a file is missing.
  """
  flag, attribute = ('train_files', 'TRAIN_FILES') if is_training else ('eval_files', 'TEST_FILES')
  if dataset_name == MOCK:
    if dataset_dir or file_names:
      given = f'--dataset_dir={dataset_dir}' if dataset_dir else f'--{flag}={file_names}'
      raise ValueError(f'{given} is given, but --dataset_name=mock has random images: name the '
                       'data set, image_folder for photos of your own, or leave the flag out')
    return DataSources([], [_MOCK_RECORDS], None, 0)
  dataset = _lookup(dataset_name)
  if not dataset_dir:
    raise ValueError(f'--dataset_dir is needed with --dataset_name={dataset_name}')
  patterns = file_names or getattr(dataset, attribute, [])
  if isinstance(patterns, str):
    patterns = [pattern.strip() for pattern in patterns.split(',') if pattern.strip()]
  if not patterns and file_names:
    raise ValueError(f'--{flag}={file_names!r} names no file')
  if not patterns:
    raise ValueError(f'--{flag} is needed: the data set {dataset_name!r} has no list of its own')
  found = {pattern: _expand(dataset_dir, pattern, flag) for pattern in patterns}
  files = list(dict.fromkeys(sum(found.values(), [])))  # Patterns may overlap.
  _check_complete(found, dataset_dir, flag, is_chosen=bool(file_names))
  manifest = tfrecord.read_manifest(dataset_dir)
  classes = len(manifest['classes']) if manifest else _highest_label(dataset_dir) + 1
  return DataSources(files, tfrecord.record_counts(files, manifest, flag), manifest, classes)


def _highest_label(dataset_dir):
  """Return the highest label in labels.txt; -1 if there is none, or the file is not UTF-8."""
  with contextlib.suppress(UnicodeDecodeError):
    return max(tfrecord.read_labels(dataset_dir) or [-1])
  return -1


def facts(data_sources):
  """Return the files' sizes and the manifest's entries, a dict from strings to JSON values."""
  sizes = {file: f'{count} records, {tf.io.gfile.stat(file).length} bytes'
           for file, count in zip(data_sources.files, data_sources.counts)}
  manifest = {**(data_sources.manifest or {})}
  entries = manifest.pop('files', {})
  entries = {f'manifest, {name}': value for name, value in {**manifest, **entries}.items()}
  return {**sizes, **entries}


def _lookup(dataset_name):
  known = {MOCK: None, **datasets_map}
  return name_utils.lookup(known, dataset_name, 'data set (--dataset_name)')


def _expand(dataset_dir, pattern, flag):
  """Return the sorted paths that a name or glob pattern stands for."""
  path = os.path.join(dataset_dir, pattern)
  # A name may look like a pattern, as train[1].tfrecord does.
  if not any(character in pattern for character in '*?[') or tf.io.gfile.exists(path):
    return [path]
  found = sorted(path for path in tf.io.gfile.glob(os.path.join(glob.escape(dataset_dir), pattern))
                 if not path.endswith(tfrecord.partial_name('')))
  if not found:
    raise FileNotFoundError(
        f'no file matches {path}: check --dataset_dir and --{flag}, or make the data set with '
        'images/datasets/download_and_convert_data.py'
        + (', photos of your own with --validation_fraction' if flag == 'eval_files' else ''))
  return found


def _check_complete(found, dataset_dir, flag, *, is_chosen):
  """Raise ValueError if files named k-of-n are not all n of a set, counted from 0 or 1.

  If the user has chosen the files, the chief logs a warning instead, and only about files that
  patterns have found: a subset may be intended.

  Args:
    found: dict from names and patterns to lists of paths.
    dataset_dir: string.
    flag: string, the name of the flag that chooses the files.
    is_chosen: bool, whether the user has chosen the files.
  """
  sets = {}
  for pattern, paths in found.items():
    is_name = paths == [os.path.join(dataset_dir, pattern)]
    for path in dict.fromkeys([] if is_chosen and is_name else paths):
      part = re.fullmatch(r'(.*?)(\d+)-of-(\d+)([^/]*)', path)
      if part:
        sets.setdefault(part.group(1, 4), {})[path] = int(part[3]), int(part[2])
  for paths in sets.values():
    size = len(paths)
    if sorted(paths.values()) in ([(size, k + first) for k in range(size)] for first in (0, 1)):
      continue
    names = ', '.join(map(os.path.basename, list(paths)[:10])) + ', ...' * (size > 10)
    directory = os.path.dirname(next(iter(paths)))
    words = f'not the files of one complete conversion: {names} in {directory}'
    if not is_chosen:
      raise ValueError(f'{words}; convert the data set again, or name the files with --{flag}')
    if cluster_utils.is_chief():
      logging.warning('--%s: %s; are some missing, or left over from an earlier '
                      'conversion?', flag, words)


def check_labels(data_sources, num_classes, labels_offset=0):
  """Raise ValueError if the manifest lists labels outside [0, num_classes).

  If there are more classes than images can have, as when --num_classes was forgotten, the chief
  logs a warning.

  Args:
    data_sources: DataSources.
    num_classes: int.
    labels_offset: int, subtracted from the labels first.
  """
  manifest = data_sources.manifest or {}
  entries = manifest.get('files', {})
  labels = {name: [label - labels_offset for label in entry['labels']]
            for name, entry in entries.items()}
  classes = data_sources.classes
  # Enough classes for every file, including those of a later evaluation.
  enough = max([classes - labels_offset, *(high + 1 for _, high in labels.values())])
  for path in data_sources.files:
    low, high = labels.get(os.path.basename(path), (0, 0))
    if low >= 0 and high < num_classes or not tfrecord.current_entry(path, entries):
      continue
    if low < 0:
      raise ValueError(f'{path} has labels from {low} on, after --labels_offset={labels_offset} '
                       'is subtracted; they must not be negative: leave the flag out')
    after = f' after --labels_offset={labels_offset} is subtracted,' if labels_offset else ''
    raise ValueError(f'{path} has labels from {low} to {high},{after} outside [0, '
                     f'{num_classes}): set --num_classes={enough}')
  if labels_offset <= 0 < classes < num_classes + labels_offset and cluster_utils.is_chief():
    background = '' if labels_offset else '; if its class 0 is background, --labels_offset=-1'
    logging.warning('--num_classes=%d, but the data set has %d classes: set --num_classes=%d, '
                    'unless a checkpoint has more%s', num_classes, classes,
                    classes - labels_offset, background)


def get_dataset_iterator(dataset_name, train_image_size, preprocessing_fn, data_sources, *,
                         num_classes, batch_size, seed, **pipeline):
  """Return the iterator of training batches; its get_next() gives (images, labels).

  Args:
    dataset_name: string, a key of datasets_map, or 'mock'.
    train_image_size: int, height and width of the images in pixels.
    preprocessing_fn: function (image, height, width, seed) to an image of that size.
    data_sources: DataSources of the training files.
    num_classes: int, labels lie in [0, num_classes).
    batch_size: int, images in a batch.
    seed: int, the seed of shuffling and distortions.
    **pipeline: further arguments of dataset_utils.training_iterator().
  """
  if dataset_name == MOCK:
    return dataset_utils.mock_iterator(preprocessing_fn, image_size=train_image_size,
                                       num_classes=num_classes, batch_size=batch_size, seed=seed)
  return dataset_utils.training_iterator(
      data_sources.files, data_sources.counts, _lookup(dataset_name).parse_fn, preprocessing_fn,
      image_size=train_image_size, num_classes=num_classes, batch_size=batch_size, seed=seed,
      **pipeline)


def get_evaluation_iterator(dataset_name, image_size, preprocessing_fn, data_sources, *,
                            num_classes, batch_size, **pipeline):
  """Return an iterator over this rank's share of the evaluation files, each image once.

  See get_dataset_iterator() for the arguments; the files have to be evaluation files.

  Raises:
    ValueError: mock data, which has no images to evaluate.
  """
  if dataset_name == MOCK:
    raise ValueError('--dataset_name=mock has no images to evaluate: name a data set')
  return dataset_utils.evaluation_iterator(
      data_sources.files, data_sources.counts, _lookup(dataset_name).parse_fn, preprocessing_fn,
      image_size=image_size, num_classes=num_classes, batch_size=batch_size, **pipeline)
