"""The data sets by name: which files there are, and batches of them."""
import os
import shutil
import types

import numpy as np
import pytest

from images.datasets import dataset_factory
from images.preprocessing import preprocessing_factory
from images.utils.tf1 import tf
from tests.datasets import make_data

# Of a pipeline that does not prepare more than it must.
SMALL = {'num_preprocessing_threads': 2, 'num_parallel_batches': 1, 'prefetch_buffer_size': 1}


@pytest.fixture
def cifar10(tmp_path):
  """The folder of a small CIFAR-10."""
  make_data.write_dataset(tmp_path, 'cifar10', {
      'cifar10_train.tfrecord': [0, 9, 3, 3], 'cifar10_test.tfrecord': [1, 2]},
      classes=[str(k) for k in range(10)])
  return str(tmp_path)


def sources(folder, names=None, dataset='cifar10', **kwargs):
  """Return the names of the files, without the folder, and their record counts."""
  found = dataset_factory.get_data_sources(dataset, folder, names, **kwargs)
  assert all(path.startswith(f'{folder}/') for path in found.files)
  return [path[len(folder) + 1:] for path in found.files], found.counts


def test_the_data_sets_and_what_they_provide():
  assert list(dataset_factory.datasets_map) == [
      'cifar10', 'digits', 'flowers', 'image_folder', 'mnist']
  files = {name: (getattr(module, 'TRAIN_FILES', None), getattr(module, 'TEST_FILES', None))
           for name, module in dataset_factory.datasets_map.items()}
  for name in ('cifar10', 'digits', 'mnist'):
    assert files[name] == ([f'{name}_train.tfrecord'], [f'{name}_test.tfrecord'])
  assert files['flowers'] == tuple(
      [f'flowers_{split}_{k:05}-of-00005.tfrecord' for k in range(5)]
      for split in ('train', 'validation'))
  assert all(callable(module.parse_fn) for module in dataset_factory.datasets_map.values())


def test_files_and_counts_by_default(cifar10):
  assert sources(cifar10) == (['cifar10_train.tfrecord'], [4])
  assert sources(cifar10, is_training=False) == (['cifar10_test.tfrecord'], [2])


def test_files_by_name_and_by_pattern(cifar10):
  assert sources(cifar10, 'cifar10_test.tfrecord, cifar10_train.tfrecord') == (
      ['cifar10_test.tfrecord', 'cifar10_train.tfrecord'], [2, 4])
  assert sources(cifar10, '*.tfrecord') == (
      ['cifar10_test.tfrecord', 'cifar10_train.tfrecord'], [2, 4])
  assert sources(cifar10, 'cifar10_t[er][sa]*') == (
      ['cifar10_test.tfrecord', 'cifar10_train.tfrecord'], [2, 4])


def test_a_list_of_a_data_set_may_be_written_as_in_the_flags(cifar10, monkeypatch):
  both = (['cifar10_test.tfrecord', 'cifar10_train.tfrecord'], [2, 4])
  for given in ('cifar10_test.tfrecord, cifar10_train*', ['cifar10_test.tfrecord', '*_train*']):
    monkeypatch.setattr(dataset_factory.cifar10, 'TRAIN_FILES', given)
    assert sources(cifar10) == both


def test_a_file_that_two_patterns_match_counts_once(cifar10):
  assert sources(cifar10, 'cifar10_test.tfrecord,*.tfrecord') == (
      ['cifar10_test.tfrecord', 'cifar10_train.tfrecord'], [2, 4])


def test_a_pattern_leaves_out_what_a_killed_conversion_has_begun(cifar10, tmp_path):
  (tmp_path / 'cifar10_train.tfrecord.partial').write_bytes(b'half a reco')
  assert sources(cifar10, 'cifar10_train*') == (['cifar10_train.tfrecord'], [4])


def test_a_name_that_could_be_a_pattern(cifar10):
  os.rename(f'{cifar10}/cifar10_train.tfrecord', f'{cifar10}/train[1].tfrecord')
  assert sources(cifar10, 'train[1].tfrecord') == (['train[1].tfrecord'], [4])


def test_a_directory_with_characters_of_patterns(cifar10, tmp_path):
  folder = shutil.copytree(cifar10, tmp_path / 'a [1]*')
  assert sources(str(folder), '*train*') == (['cifar10_train.tfrecord'], [4])


def test_an_empty_list_of_files_is_none(cifar10):
  assert sources(cifar10, '') == sources(cifar10)


def test_mock_has_no_files_and_is_as_large_as_imagenet():
  found = dataset_factory.get_data_sources('mock', None)
  assert (found.files, found.counts, found.manifest) == ([], [1281167], None)
  dataset_factory.check_labels(found, 1)


def test_an_unknown_data_set_lists_the_known_ones_nearest_first():
  with pytest.raises(ValueError, match=r"^unknown data set \(--dataset_name\): 'cifar100'; known, "
                                       'nearest first: cifar10, .*mock'):
    dataset_factory.get_data_sources('cifar100', '/data')


@pytest.mark.parametrize('folder', [None, ''])
def test_no_folder_is_an_error(folder):
  with pytest.raises(ValueError, match='--dataset_dir is needed with --dataset_name=mnist'):
    dataset_factory.get_data_sources('mnist', folder)


@pytest.mark.parametrize('folder', ['', '/absent'])
@pytest.mark.parametrize('part', ['train', 'test'])
def test_a_missing_file_or_folder_is_an_error(tmp_path, folder, part):
  flag = {'train': 'train_files', 'test': 'eval_files'}[part]
  with pytest.raises(FileNotFoundError, match=f'{tmp_path}{folder}/mnist_{part}.tfrecord does not '
                                              f'exist; check --dataset_dir and --{flag}'):
    dataset_factory.get_data_sources('mnist', f'{tmp_path}{folder}', is_training=part == 'train')


@pytest.mark.parametrize(('is_training', 'flag'), [(True, 'train_files'), (False, 'eval_files')])
def test_a_pattern_that_matches_nothing_is_an_error(cifar10, is_training, flag):
  with pytest.raises(FileNotFoundError, match=r'no file matches .*/train-\*: check --dataset_dir '
                                              f'and --{flag}, or make the data set with'):
    dataset_factory.get_data_sources('cifar10', cifar10, 'train-*', is_training=is_training)


def test_an_empty_file_is_an_error(cifar10):
  for part, flag in (('train', 'train_files'), ('test', 'eval_files')):
    make_data.write_records(f'{cifar10}/cifar10_{part}.tfrecord', [])
    with pytest.raises(ValueError, match=f'cifar10_{part}.tfrecord has no records; leave it out '
                                         f'of --{flag}'):
      dataset_factory.get_data_sources('cifar10', cifar10, is_training=part == 'train')


def test_a_data_set_without_a_list_of_its_own_needs_file_names(cifar10, monkeypatch):
  monkeypatch.setitem(dataset_factory.datasets_map, 'mine', types.SimpleNamespace(parse_fn=len))
  assert sources(cifar10, '*train*', dataset='mine') == (['cifar10_train.tfrecord'], [4])
  with pytest.raises(ValueError, match="--train_files is needed: the data set 'mine' has no list"):
    dataset_factory.get_data_sources('mine', cifar10)
  with pytest.raises(ValueError, match='--eval_files is needed'):
    dataset_factory.get_data_sources('mine', cifar10, is_training=False)


@pytest.mark.parametrize('parts', [[(0, 3), (2, 3)], [(0, 3), (1, 3)],
                                   [(0, 3), (1, 3), (2, 3), (0, 1)]])
def test_the_files_of_an_interrupted_conversion_are_an_error(tmp_path, parts, caplog):
  """One was killed between two renames: part of its files are there, or with older ones."""
  names = [f'image_folder_train_{k:05}-of-{n:05}.tfrecord' for k, n in sorted(parts)]
  make_data.write_dataset(tmp_path, 'image_folder', {name: [0, 1] for name in names},
                          classes=['a', 'b'])
  with pytest.raises(ValueError, match=(
      f'not the files of one complete conversion: {", ".join(names)} in {tmp_path}; convert the '
      'data set again, or name the files with --train_files')):
    dataset_factory.get_data_sources('image_folder', str(tmp_path))
  assert caplog.messages == []
  assert sources(str(tmp_path), ','.join(names), dataset='image_folder')[0] == names
  assert caplog.messages == []
  assert sources(str(tmp_path), '*-of-*', dataset='image_folder') == (names, [2] * len(names))
  assert [text.startswith('--train_files: not the files of one complete conversion: ')
          for text in caplog.messages] == [True]


def test_only_what_patterns_have_found_is_looked_at(tmp_path, caplog):
  names = ['a/x-0-of-1.train', 'a/x-0-of-1.test', 'b/y-1-of-2', 'b/y-2-of-2', 'b/z-0-of-2',
           'b/z[1]-0-of-2']
  for name in names:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    make_data.write_records(tmp_path / name, [b''])
  assert sources(str(tmp_path), f'a/*,b/y*,{names[4]},{names[5]}')[0] == [
      names[1], names[0], *names[2:]]
  assert caplog.messages == []
  assert sources(str(tmp_path), 'a/*,b/z-*')[0] == [names[1], names[0], names[4]]
  assert caplog.messages == [
      f'--train_files: not the files of one complete conversion: z-0-of-2 in {tmp_path}/b; are '
      'some missing, or left over from an earlier conversion?']


def test_the_files_of_a_whole_conversion(tmp_path, caplog):
  names = [f'image_folder_train_{k:05}-of-00003.tfrecord' for k in range(3)]
  make_data.write_dataset(tmp_path, 'image_folder', {name: [0, 1] for name in names},
                          classes=['a', 'b'])
  for choice in (None, '*-of-*'):
    assert sources(str(tmp_path), choice, dataset='image_folder') == (names, [2, 2, 2])
  assert caplog.messages == []


def test_labels_that_the_manifest_tells_of(cifar10):
  train = dataset_factory.get_data_sources('cifar10', cifar10)
  dataset_factory.check_labels(train, 10)
  with pytest.raises(ValueError, match=r'/cifar10_train\.tfrecord has labels from 0 to 9, outside '
                                       r'\[0, 9\): set --num_classes=10$'):
    dataset_factory.check_labels(train, 9)
  dataset_factory.check_labels(train, 11, labels_offset=-1)
  with pytest.raises(ValueError, match=r'labels from 1 to 10, after --labels_offset=-1 is '
                                       r'subtracted, outside \[0, 10\)'):
    dataset_factory.check_labels(train, 10, labels_offset=-1)
  with pytest.raises(ValueError, match='labels from -1 on, after --labels_offset=1 is subtracted'):
    dataset_factory.check_labels(train, 10, labels_offset=1)
  # Only the files that are read count: those of the test end at 2.
  test = dataset_factory.get_data_sources('cifar10', cifar10, is_training=False)
  dataset_factory.check_labels(test, 3)
  with pytest.raises(ValueError, match=r'labels from 1 to 2, .*: set --num_classes=10$'):
    dataset_factory.check_labels(test, 2)


@pytest.mark.parametrize('classes', [[], ['a', 'b']])
def test_as_many_classes_as_all_files_need(tmp_path, classes):
  make_data.write_dataset(tmp_path, 'image_folder', {
      'image_folder_train_00000-of-00002.tfrecord': [0, 1],
      'image_folder_train_00001-of-00002.tfrecord': [1, 6],
      'image_folder_test_00000-of-00001.tfrecord': [8]}, classes=classes)
  train = dataset_factory.get_data_sources('image_folder', str(tmp_path))
  with pytest.raises(ValueError, match='00000-of-00002.* --num_classes=9$'):
    dataset_factory.check_labels(train, 1)
  with pytest.raises(ValueError, match='00001-of-00002.* --num_classes=8$'):
    dataset_factory.check_labels(train._replace(files=train.files[1:]), 1, labels_offset=1)


@pytest.mark.parametrize(('num_classes', 'labels_offset', 'words'), [
    (10, 0, None), (11, -1, None),
    (100, 0, '--num_classes=100, but the data set has 10 classes: set --num_classes=10, unless a '
     'checkpoint has more; if its class 0 is background, --labels_offset=-1'),
    (12, -1, '--num_classes=12, but the data set has 10 classes: set --num_classes=11, unless a '
     'checkpoint has more')])
@pytest.mark.parametrize('told_by', ['manifest.json', 'labels.txt'])
def test_more_classes_than_the_data_set_has(cifar10, caplog, told_by, num_classes, labels_offset,
                                            words):
  if told_by == 'labels.txt':
    os.remove(f'{cifar10}/manifest.json')
  else:
    os.remove(f'{cifar10}/labels.txt')
  train = dataset_factory.get_data_sources('cifar10', cifar10)
  dataset_factory.check_labels(train, num_classes, labels_offset)
  assert caplog.messages == [words] * (words is not None)


@pytest.mark.parametrize('text', [b'1:cat\r\n2:dog\r\n', b'cat\ndog\n', b'', b'\xe9t\xe9\n'])
def test_labels_from_one_on(cifar10, caplog, text):
  os.remove(f'{cifar10}/manifest.json')
  with open(f'{cifar10}/labels.txt', 'wb') as file:
    file.write(text)
  train = dataset_factory.get_data_sources('cifar10', cifar10)
  dataset_factory.check_labels(train, 2, labels_offset=1)
  if text.startswith(b'1'):
    dataset_factory.check_labels(train, 3)
  assert caplog.messages == []


def test_a_file_that_is_not_that_of_the_manifest_may_have_other_labels(cifar10):
  train = dataset_factory.get_data_sources('cifar10', cifar10)
  with open(f'{cifar10}/cifar10_train.tfrecord', 'ab') as file:
    file.write(b'x')
  dataset_factory.check_labels(train, 5)


def test_without_a_manifest_labels_are_not_known(cifar10):
  train = dataset_factory.get_data_sources('cifar10', cifar10)._replace(manifest=None)
  dataset_factory.check_labels(train, 1)
  dataset_factory.check_labels(train, 1, labels_offset=1)


def test_training_batches(cifar10):
  preprocessing_fn = preprocessing_factory.get_preprocessing('vgg', is_training=True)
  with tf.Graph().as_default(), tf.Session() as session:
    iterator = dataset_factory.get_dataset_iterator(
        'cifar10', 24, preprocessing_fn, dataset_factory.get_data_sources('cifar10', cifar10),
        num_classes=10, batch_size=2, seed=1, **SMALL)
    batch = iterator.get_next()
    assert [tensor.shape.as_list() for tensor in batch] == [[2, 24, 24, 3], [2]]
    session.run([tf.global_variables_initializer(), tf.tables_initializer()])
    labels = [label for _ in range(2) for label in session.run(batch)[1]]
  assert sorted(labels) == [0, 3, 3, 9]


def test_a_parse_fn_that_decodes_works_too(cifar10, monkeypatch):
  """As users of the published interface write it."""
  def parse_fn(example):
    with tf.device('/cpu:0'):
      features = tf.parse_single_example(example, features={
          'image/encoded': tf.FixedLenFeature((), tf.string, default_value=''),
          'image/format': tf.FixedLenFeature((), tf.string, default_value='png'),
          'image/class/label': tf.FixedLenFeature(
              [], tf.int64, default_value=tf.zeros([], dtype=tf.int64))})
      image = tf.image.decode_jpeg(features['image/encoded'], channels=3)
      return image, features['image/class/label']
  train = dataset_factory.get_data_sources('cifar10', cifar10)
  monkeypatch.setitem(dataset_factory.datasets_map, 'mine',
                      types.SimpleNamespace(parse_fn=parse_fn))
  batches = []
  for name in ('cifar10', 'mine'):
    with tf.Graph().as_default(), tf.Session() as session:
      batch = dataset_factory.get_dataset_iterator(
          name, 24, preprocessing_factory.get_preprocessing('cifarnet', is_training=True), train,
          num_classes=10, batch_size=4, seed=1, **SMALL).get_next()
      session.run([tf.global_variables_initializer(), tf.tables_initializer()])
      batches.append(session.run(batch))
  np.testing.assert_array_equal(batches[0][0], batches[1][0])
  np.testing.assert_array_equal(batches[0][1], batches[1][1])


def test_evaluation_batches(cifar10):
  with tf.Graph().as_default(), tf.Session() as session:
    iterator = dataset_factory.get_evaluation_iterator(
        'cifar10', 24, preprocessing_factory.get_preprocessing('vgg'),
        dataset_factory.get_data_sources('cifar10', cifar10, is_training=False),
        num_classes=10, batch_size=3)
    session.run(iterator.initializer)
    batch = session.run(iterator.get_next())
  assert batch['image'].shape == (2, 24, 24, 3)
  assert batch['label'].tolist() == [1, 2]
  assert batch['good'].tolist() == [True, True]


@pytest.mark.parametrize(('flags', 'given'), [
    (('/photos', None, True), '--dataset_dir=/photos'),
    ((None, 'a*', True), r'--train_files=a\*'),
    ((None, 'a*', False), r'--eval_files=a\*')])
def test_files_are_not_passed_over_for_mock_data(flags, given):
  """As when --dataset_name was forgotten."""
  with pytest.raises(ValueError, match=f'^{given} is given, but --dataset_name=mock has random'):
    dataset_factory.get_data_sources('mock', *flags[:2], is_training=flags[2])


def test_mock_batches():
  with tf.Graph().as_default():
    images, labels = dataset_factory.get_dataset_iterator(
        'mock', 24, preprocessing_factory.get_preprocessing('vgg'),
        dataset_factory.get_data_sources('mock', None), num_classes=7,
        batch_size=3, seed=1, shuffle_buffer_size=5).get_next()
    assert (images.shape, labels.shape) == ([3, 24, 24, 3], [3])


def test_mock_is_not_evaluated():
  with pytest.raises(ValueError, match='mock has no images to evaluate: name a data set'):
    dataset_factory.get_evaluation_iterator(
        'mock', 24, None, dataset_factory.get_data_sources('mock', None), num_classes=7,
        batch_size=3)


def test_commas_without_a_name_are_no_files(cifar10):
  assert sources(cifar10, 'cifar10_train.tfrecord, ,') == (['cifar10_train.tfrecord'], [4])
  with pytest.raises(ValueError, match="--train_files=' ,' names no file"):
    dataset_factory.get_data_sources('cifar10', cifar10, ' ,')
