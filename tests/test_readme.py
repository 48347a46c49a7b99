"""README.md says what is true: its flag tables, its examples, its files."""
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests import readme

_BLOCKS = ['images/datasets/pets.py', 'images/models/tinynet.py',
           'images/preprocessing/tiny_preprocessing.py']
_ENTRIES = ['images/datasets/dataset_factory.py', 'images/models/model_factory.py',
            'images/preprocessing/preprocessing_factory.py', 'images/utils/hooks_utils.py']


def test_the_flag_tables_are_those_of_flags_py():
  """`python -m tests.readme` prints them."""
  section = re.search(r'^## Flags\n(.*?)^\n## ', readme.text(), re.MULTILINE | re.DOTALL)[1]
  assert section == readme.flag_tables()


def test_a_row_of_a_flag_table_has_four_cells_and_no_tags():
  rows = [line for line in readme.flag_tables().splitlines() if line.startswith('| `')]
  assert len(rows) == len(readme.flag_names())
  for row in rows:
    assert len(re.findall(r'(?<!\\)\|', row)) == 5, row
    assert not re.search(r'(?<!\\)<', row)
  assert '| `protocol` | enum | `grpc` | Accepted for' in '\n'.join(rows)
  assert r'runs/\<date>-\<time>-\<model>-\<dataset>. |' in '\n'.join(rows)


def test_every_flag_of_a_command_exists():
  commands = '\n'.join(readme.blocks('bash')).replace('\\\n', ' ')
  used = {flag for line in commands.splitlines() if 'train_image_classifiers.py' in line
          for flag in re.findall(r'--(\w+)', line.partition('train_image_classifiers.py')[2])}
  assert used - {'flagfile'} <= set(readme.flag_names())
  assert len(used) > 10


def test_every_file_that_is_named_exists():
  named = set(re.findall(r'`((?:images|scripts|tests)/[\w/]+\.\w+)`', readme.text()))
  assert named
  missing = {name for name in named if not (readme.ROOT / name).exists()}
  assert missing == set()


@pytest.mark.slow
def test_the_examples_of_extending_work_together(tmp_path):
  """Adds the data set, network, preprocessing, hook and loss as the README says, and trains."""
  project = tmp_path / 'project'
  shutil.copytree(readme.ROOT / 'images', project / 'images')
  for name in ('flags.py', 'train_image_classifiers.py'):
    shutil.copy(readme.ROOT / name, project)
  for name in _BLOCKS:
    (project / name).write_text(readme.block_named(name))
  for name in _ENTRIES:
    with open(project / name, 'a') as file:
      file.write(readme.block_named(f'entry in {name}'))
  _replace_loss(project / 'train_image_classifiers.py')
  _write_pets(tmp_path / 'pets')
  run = subprocess.run(
      [sys.executable, 'train_image_classifiers.py', '--enable_paisoar=False',
       '--dataset_name=pets', f'--dataset_dir={tmp_path / "pets"}', '--model_name=tinynet',
       '--num_classes=2', '--batch_size=8', '--stop_at_step=40', '--optimizer=adam',
       '--opt_epsilon=1e-8', '--use_fp16=False', f'--output_dir={tmp_path / "run"}',
       '--hooks=LoggingTensorHook,CheckpointSaverHook,MemoryHook'],
      cwd=project, env={**os.environ, 'PYTHONPATH': str(project)}, text=True,
      capture_output=True, timeout=300, check=False)
  assert run.returncode == 0, run.stderr
  losses, smoothed = zip(*(map(float, found) for found in re.findall(
      r'step \d+/40 +loss ([\d.]+)  smoothed loss ([\d.]+)  accuracy', run.stderr)))
  # White cats and black dogs: smoothing by 0.1 leaves at least 0.1985 of the loss.
  assert losses[0] > losses[-1] > smoothed[-1] > 0.198
  assert re.search(r'memory: at most \d\.\d GiB\n', run.stderr)


def _replace_loss(path):
  plain = re.compile(r'    loss = tf\.losses\.sparse_softmax_cross_entropy\(.*?weights=1\.0\)\n',
                     re.DOTALL)
  block = readme.block_named('in loss_fn of train_image_classifiers.py')
  source, count = plain.subn(block, path.read_text())
  assert count == 1
  path.write_text(source)


def _write_pets(directory):
  """Write 16 JPEG records, white for label 0 and black for label 1."""
  from images.utils.tf1 import tf
  directory.mkdir()
  with tf.Graph().as_default(), tf.Session() as session, \
      tf.io.TFRecordWriter(str(directory / 'pets_train_0.tfrecord')) as writer:
    pixels = tf.placeholder(tf.uint8, [40, 30, 3])
    jpeg = tf.image.encode_jpeg(pixels)
    for label in [0, 1] * 8:
      encoded = session.run(jpeg, {pixels: np.full([40, 30, 3], 255 * (1 - label), np.uint8)})
      example = tf.train.Example()
      example.features.feature['image/encoded'].bytes_list.value.append(encoded)
      example.features.feature['image/class/label'].int64_list.value.append(label)
      writer.write(example.SerializeToString())
