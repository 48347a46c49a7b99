"""Any photos in folders that are named after their classes; see `read_raw` for the layouts."""
import os
import sys

from images.datasets import archives, tfrecord
from images.datasets.raw_data import (
  ConversionError,
  RawData,
  RawImage,
  Split,
  hold_out,
  shuffled,
)

TRAIN_FILES = ['image_folder_train_*-of-*.tfrecord']
TEST_FILES = ['image_folder_test_*-of-*.tfrecord']
parse_fn = tfrecord.parse_example
_PART_FOLDERS = {'training': ('train', 'training'),
                 'test': ('test', 'testing', 'validation', 'valid', 'val')}


def read_raw(dataset_dir, *, source_dir=None, num_shards=5, validation_fraction=0.0):
  """Return the RawData of a tree of photos.

  The tree is either train/<class>/* with or without test/<class>/*, or <class>/* alone; a
  class may have subfolders. The folders of the parts may have any name in _PART_FOLDERS, in
  upper or lower case. Labels number the classes in the order of their names. Without a test
  folder, `validation_fraction` of every class is the test part. The photos of all classes are
  shuffled, always in the same way.

  Args:
    dataset_dir: string, must lie outside of the tree.
    source_dir: string, the folder at the root of the tree.
    num_shards: int, files of each part, or fewer if there are fewer photos.
    validation_fraction: float in [0, 1).

  Raises:
    ConversionError: the tree has no such layout, or classes only in its test part; a class name
      does not fit labels.txt; source_dir is missing or contains dataset_dir; or
      validation_fraction is given although there is a test part.
  """
  _check_source(dataset_dir, source_dir)
  tree = archives.read_tree(source_dir, scratch_dir=dataset_dir)
  train, test, depth = _parts(tree, source_dir)
  _report_strays(tree, train, test)
  _report_doubtful_classes(train, depth)
  if test and validation_fraction:
    raise ConversionError(f'{source_dir} has a test part of its own; leave out '
                          '--validation_fraction')
  if not test and not validation_fraction:
    print('no test part: --validation_fraction=0.1 would hold out a tenth of every class',
          file=sys.stderr)
  classes = sorted(train)
  _check_classes(classes, test, source_dir)
  train, held_out = hold_out([_images(name, label, train)
                              for label, name in enumerate(classes)], validation_fraction)
  if validation_fraction and not held_out:
    print('no test part: no class has enough photos for --validation_fraction='
          f'{validation_fraction:g}; raise it, or add photos: each class keeps one',
          file=sys.stderr)
  test = held_out + [image for label, name in enumerate(classes) if name in test
                     for image in _images(name, label, test)]
  return RawData(classes, _split('train', train, num_shards), _split('test', test, num_shards))


def _check_source(dataset_dir, source_dir):
  if not source_dir:
    raise ConversionError('image_folder needs --source_dir, the folder with the photos')
  source, target = os.path.realpath(source_dir), os.path.realpath(dataset_dir)
  if os.path.commonpath([source, target]) == source:
    raise ConversionError(f'--dataset_dir={dataset_dir} lies within --source_dir={source_dir} and '
                          'would be taken for a class; choose a folder outside of it')


def _parts(tree, source_dir):
  """Return (training, test, depth).

  Training and test are dicts from class names to lists of (name, read); depth is how many folders
  deep a class is in these names.
  """
  parts = {'': {}}
  for name, read in tree:
    first, *rest = name.split('/')
    if len(rest) > 1:
      parts.setdefault(first, {}).setdefault(rest[0], []).append((name, read))
    if rest:
      parts[''].setdefault(first, []).append((name, read))
  if not parts['']:
    raise ConversionError(f'--source_dir={source_dir} has no train/<class>/ or <class>/ folders '
                          'with images: move the photos of each class into a folder of its name')
  train = _part('training', parts, source_dir)
  return (train, _part('test', parts, source_dir), 2) if train else (parts[''], {}, 1)


def _part(part, parts, source_dir):
  """Return the classes in the folder of `part`; {} if there is no such folder."""
  found = [folder for folder in parts if folder.lower() in _PART_FOLDERS[part]]
  if len(found) > 1:
    raise ConversionError(f'{source_dir} has {" and ".join(found)}; keep one of them, for the '
                          f'{part} part')
  return parts[found[0]] if found else {}


def _report_strays(tree, *parts):
  """Print how many files lie outside of the class folders of `parts`, if any do."""
  taken = {name for part in parts for files in part.values() for name, _ in files}
  strays = [name for name, _ in tree if name not in taken]
  if strays:
    print(f'left out: {len(strays)} files outside of the class folders, such as {strays[0]!r}',
          file=sys.stderr)


def _report_doubtful_classes(train, depth):
  """Print what looks as if --source_dir were the parent of the right folder."""
  if len(train) == 1:
    print(f'only one class, {next(iter(train))!r}: a network that always names it is right on '
          'every photo', file=sys.stderr)
  remedy = '--source_dir has to end in {}' if depth == 1 else 'move them up, out of {}'
  for name, images in sorted(train.items()):
    folders = [path.split('/')[depth:-1] for path, _ in images]
    if all(folders):
      print(f'class {name!r} has all of its photos in subfolders, such as {min(folders)[0]!r}: if '
            f'these are the classes, or train and test, {remedy.format(name)}', file=sys.stderr)


def _check_classes(classes, test, source_dir):
  unknown = sorted(set(test) - set(classes))
  if unknown:
    raise ConversionError(f'{source_dir}: these classes of the test part have no photos for '
                          f'training: {", ".join(unknown)}')
  for name in classes:
    # labels.txt has one class per line, in UTF-8; for other bytes, os returns surrogates.
    if name.splitlines() != [name] or name.encode('utf-8', 'ignore').decode() != name:
      raise ConversionError(f'{source_dir}: rename the class folder {name!r}: a class needs a '
                            'name of one line in UTF-8')


def _images(name, label, part):
  return [RawImage(path, label, read) for path, read in part[name]]


def _split(part, images, num_shards):
  shards = min(num_shards, len(images))
  files = [f'image_folder_{part}_{k:05d}-of-{shards:05d}.tfrecord' for k in range(shards)]
  return Split(files, shuffled(images))
