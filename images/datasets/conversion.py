"""Converts a raw data set into TFRecord files, labels.txt and manifest.json, all or nothing."""
import contextlib
import fcntl
import glob
import os
import sys

from images.datasets import image_folder, shards, tfrecord
from images.datasets.dataset_factory import datasets_map
from images.datasets.raw_data import ConversionError
from images.utils.name_utils import lookup

# name -> module that reads a raw data set.
DATASETS = {name: module for name, module in datasets_map.items() if hasattr(module, 'read_raw')}


def convert(dataset_name, dataset_dir, *, source_dir=None, max_bad_fraction=0.01, **options):
  """Convert a data set; the same input always gives the same bytes.

  An earlier conversion in `dataset_dir` stays as it is until the new one is complete on the disk,
  and is removed before the first new file gets its final name: if the process is then killed, files
  are missing, and training refuses the data set. manifest.json is written last.

  Args:
    dataset_name: string, a key of DATASETS.
    dataset_dir: string, a local folder, created if necessary.
    source_dir: string or None, where the raw data is; no network is used then.
    max_bad_fraction: float, the fraction of images that may be undecodable.
    **options: num_shards and validation_fraction, see `image_folder.read_raw`.

  Returns:
    The manifest (dict), see `tfrecord.write_manifest`.

  Raises:
    ConversionError: something that the user has to correct, as the message says.
  """
  module = lookup(DATASETS, dataset_name, 'data set (--dataset_name)')
  if options and module is not image_folder:
    raise ConversionError(f'{" and ".join("--" + name for name in sorted(options))}: only for '
                          f'image_folder; the files of {dataset_name} are fixed')
  if source_dir and not os.path.isdir(source_dir):
    raise ConversionError(f'--source_dir={source_dir} is not a folder')
  with _locked(dataset_dir):
    _check_target(dataset_name, dataset_dir)
    patterns = module.TRAIN_FILES + module.TEST_FILES
    for path in _find(dataset_dir, map(tfrecord.partial_name, patterns)):
      os.remove(path)
    data = module.read_raw(dataset_dir, source_dir=source_dir, **options)
    entries = shards.write(
        data, dataset_dir, max_bad_fraction=max_bad_fraction,
        replaced=_find(dataset_dir, [tfrecord.MANIFEST, tfrecord.LABELS, *patterns]))
    manifest = {'dataset': dataset_name, 'classes': list(data.classes),
                'train_files': list(data.train.files), 'test_files': list(data.test.files),
                'files': entries}
    tfrecord.write_labels(dataset_dir, data.classes)
    tfrecord.write_manifest(dataset_dir, manifest)
  _report_sizes(module, manifest)
  return manifest


@contextlib.contextmanager
def _locked(dataset_dir):
  """Create the folder and lock out other conversions; the lock ends with the process."""
  if '://' in dataset_dir:
    raise ConversionError(f'--dataset_dir={dataset_dir}: convert into a local folder, then copy it')
  try:
    os.makedirs(dataset_dir, exist_ok=True)
  except OSError as error:
    raise ConversionError(f'--dataset_dir={dataset_dir} cannot be created ({error}): choose '
                          'another folder') from error
  folder = os.open(dataset_dir, os.O_RDONLY)
  try:
    if not _lock(folder):
      raise ConversionError(f'another conversion into {dataset_dir} is running')
    yield
    os.fsync(folder)
  finally:
    os.close(folder)


def _lock(folder):
  """Lock an open folder; return False if another process holds its lock."""
  try:
    fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    return False
  except OSError:
    pass  # Some network file systems have no locks; convert all the same.
  return True


def _check_target(dataset_name, dataset_dir):
  try:
    earlier = tfrecord.read_manifest(dataset_dir)
  except ValueError:
    return  # A damaged manifest is about to be replaced.
  if earlier and earlier['dataset'] != dataset_name:
    raise ConversionError(f'{dataset_dir} holds the data set {earlier["dataset"]}; choose another '
                          '--dataset_dir')
  if earlier:
    print(f'{dataset_dir} holds an earlier conversion, which is replaced once the new one is '
          'complete', file=sys.stderr)


def _report_sizes(module, manifest):
  """Print which parts do not have the official number of records of the data set."""
  for part, expected in getattr(module, 'SIZES', {}).items():
    count = sum(manifest['files'][name]['records'] for name in manifest[f'{part}_files'])
    if count != expected:
      print(f'{manifest["dataset"]} {part}: {count:,} records, not the official {expected:,}',
            file=sys.stderr)


def _find(dataset_dir, patterns):
  """Return the paths of the files that match `patterns`, in the order of the patterns."""
  return [path for pattern in patterns
          for path in glob.glob(os.path.join(glob.escape(dataset_dir), pattern))]
