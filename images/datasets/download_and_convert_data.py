#!/usr/bin/env python3
"""Downloads a data set and converts it into TFRecord files.

  python images/datasets/download_and_convert_data.py \
    --dataset_name=cifar10 --dataset_dir=/tmp/data/cifar10

  python images/datasets/download_and_convert_data.py --dataset_name=image_folder \
    --source_dir=photos --validation_fraction=0.1 --dataset_dir=/tmp/data/photos

Raw archives that already lie in dataset_dir are not downloaded again, and with
--source_dir nothing is downloaded at all. If run again, it converts again: the earlier
files stay until the new ones are complete. In addition to what training needs, this
needs Pillow (pip install pillow), and scikit-learn for the digits.
"""
import os
import shlex
import sys

from absl import app, flags

DATASET_NAMES = ['cifar10', 'digits', 'flowers', 'image_folder', 'mnist']


def define_flags():
  """Define this script's flags; not at import, as training has flags of the same names."""
  from images.utils import flag_utils

  flag_utils.define_enum('dataset_name', None, DATASET_NAMES, 'Which data set.')
  flag_utils.define_path('dataset_dir', None,
                         'Local folder for the TFRecord files; made if need be.')
  flag_utils.define_path(
      'source_dir', None, 'Folder with the raw archives, or with what was unpacked from them; '
      'nothing is downloaded then. For image_folder: the root of train/<class>/ and '
      'test/<class>/, or of <class>/.')
  flags.DEFINE_integer('num_shards', None, 'image_folder: files of each part (5 if not given).',
                       lower_bound=1, upper_bound=500)
  flag_utils.define_float(
      'validation_fraction', None, 'image_folder without a test folder: the proportion of every '
      'class for the test part, in [0, 1) (0 if not given).', lower_bound=0.0, upper_bound=0.999)
  flag_utils.define_float(
      'max_bad_fraction', 0.01, 'Proportion of images that may be impossible to decode, in [0, 1]; '
      'they are left out.', lower_bound=0.0, upper_bound=1.0)


def main(argv):
  """Convert; return the exit code."""
  values = flags.FLAGS
  if len(argv) > 1:
    return _fail(f'unexpected arguments {argv[1:]}: flags start with --, and values with spaces '
                 'need quotes')
  if not values.dataset_name or not values.dataset_dir:
    return _fail('give --dataset_name and --dataset_dir; --help lists the data sets')
  try:
    from images.datasets import conversion, tfrecord
    from images.utils.tf1 import tf
  except ModuleNotFoundError as error:
    return _fail(f'{error}; pip install {"pillow" if error.name == "PIL" else error.name}')
  options = {name: values[name].value for name in ('num_shards', 'validation_fraction')
             if values[name].value is not None}
  try:
    dataset_dir = values.dataset_dir
    manifest = conversion.convert(
        values.dataset_name, dataset_dir, source_dir=values.source_dir,
        max_bad_fraction=values.max_bad_fraction, **options)
  except (conversion.ConversionError, OSError, tf.errors.OpError) as error:
    return _fail(explain(error, dataset_dir))
  except KeyboardInterrupt:
    whole = os.path.exists(os.path.join(dataset_dir, tfrecord.MANIFEST))
    return _fail(f'interrupted; {dataset_dir} holds '
                 f'{"the earlier conversion" if whole else "no complete conversion"}')
  print(summary(manifest, dataset_dir))
  return 0


def explain(error, dataset_dir):
  """Return the message of an error, or a clearer one if the disk is full."""
  if 'No space left' in str(error):
    return f'no space left in {dataset_dir}; make room or choose another --dataset_dir'
  return str(error)


def _fail(reason):
  print(f'download_and_convert_data.py: error: {" ".join(reason.split())}', file=sys.stderr)
  return 1


def summary(manifest, dataset_dir):
  """Return a text that lists what a conversion wrote, and the command that trains on it."""
  entries, classes = manifest['files'], manifest['classes']
  lines = [f'{manifest["dataset"]} is converted into {dataset_dir}:']
  lines += [f'  {name}: {entry["records"]:,} records, {entry["bytes"]:,} bytes'
            for name, entry in entries.items()]
  for part in ('train', 'test'):
    records = sum(entries[name]['records'] for name in manifest[f'{part}_files'])
    lines.append(f'{part}: {records:,} records')
  lines += [f'{len(classes)} classes, listed in labels.txt',
            'Train on it with:',
            f'  python train_image_classifiers.py --dataset_name={manifest["dataset"]} '
            f'--dataset_dir={shlex.quote(dataset_dir)} --num_classes={len(classes)} '
            '--enable_paisoar=False']
  return '\n'.join(lines)


def find_project():
  """Make `import images` work from any working directory."""
  here = os.path.dirname(os.path.abspath(__file__))
  # Python looks next to a script first, where our modules would hide others of the same names.
  sys.path[:] = [path for path in sys.path if os.path.abspath(path) != here]
  sys.path.insert(0, os.path.dirname(os.path.dirname(here)))


if __name__ == '__main__':
  find_project()
  define_flags()
  app.run(main)
