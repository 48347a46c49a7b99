import collections
import os

import pytest

from images.datasets import image_folder
from images.datasets.raw_data import ConversionError
from tests.datasets import make_data


@pytest.fixture
def read(tmp_path):
  """Return a function that makes a tree of empty files of these names and reads it."""
  def read(*names, **options):
    tree = make_data.write_tree(tmp_path / 'tree', dict.fromkeys(names, b''))
    return image_folder.read_raw(str(tmp_path / 'out'), source_dir=str(tree), **options)
  return read


def labels(split):
  return {raw.filename: raw.label for raw in split.images}


@pytest.mark.parametrize('test', ['test', 'validation', 'val'])
def test_train_and_test_folders(read, test):
  data = read('train/b/1', 'train/a/1', 'train/a/2', f'{test}/b/9')
  assert data.classes == ['a', 'b']
  assert labels(data.train) == {'train/a/1': 0, 'train/a/2': 0, 'train/b/1': 1}
  assert labels(data.test) == {f'{test}/b/9': 1}


@pytest.mark.parametrize(('train', 'test'), [
    ('Train', 'Test'), ('training', 'testing'), ('TRAIN', 'Validation'), ('train', 'valid')])
def test_other_names_of_the_parts(read, train, test):
  data = read(f'{train}/a/1', f'{test}/a/9')
  assert data.classes == ['a']
  assert labels(data.train) == {f'{train}/a/1': 0}
  assert labels(data.test) == {f'{test}/a/9': 0}


def test_a_single_tree(read):
  data = read('b/1', 'a/deep/er/1', 'a/.hidden', '.DS_Store', 'a/2')
  assert data.classes == ['a', 'b']
  assert labels(data.train) == {'a/deep/er/1': 0, 'a/2': 0, 'b/1': 1}
  assert (data.test.images, data.test.files) == ([], [])


def test_a_class_may_be_called_train(read):
  assert read('train/1', 'car/1').classes == ['car', 'train']


def test_validation_fraction_of_every_class(read):
  names = [f'{label}/{k}' for label in 'ab' for k in range(10)] + ['c/0']
  data = read(*names, validation_fraction=0.2)
  assert collections.Counter(labels(data.test).values()) == {0: 2, 1: 2}
  assert collections.Counter(labels(data.train).values()) == {0: 8, 1: 8, 2: 1}
  assert labels(data.train).keys() | labels(data.test).keys() == set(names)


def test_shards_mix_the_classes(read):
  data = read(*(f'{label}/{k}' for label in 'ab' for k in range(30)), num_shards=3)
  assert data.train.files == [f'image_folder_train_0000{k}-of-00003.tfrecord' for k in range(3)]
  for shard in range(3):
    in_order = [raw.label for raw in data.train.images[shard::3]]
    assert sum(a != b for a, b in zip(in_order, in_order[1:])) > 5


def test_no_more_shards_than_images(read):
  data = read('train/a/1', 'train/a/2', 'test/a/1', num_shards=4)
  assert len(data.train.files) == 2
  assert data.test.files == ['image_folder_test_00000-of-00001.tfrecord']


def test_strays_are_reported(read, capsys):
  read('train/a/1', 'train/b/1', 'train/readme.txt', 'notes/x/y', 'todo')
  assert capsys.readouterr().err == (
      "left out: 3 files outside of the class folders, such as 'notes/x/y'\n"
      'no test part: --validation_fraction=0.1 would hold out a tenth of every class\n')


LONE = "only one class, 'photos': a network that always names it is right on every photo"
INNER = ("class 'photos' has all of its photos in subfolders, such as 'cat': if these are the "
         'classes, or train and test, ')


@pytest.mark.parametrize(('names', 'lines'), [
    (['photos/dog/1', 'photos/cat/2'], [LONE, INNER + '--source_dir has to end in photos']),
    (['photos/dog/1', 'photos/cat/2', 'b/1'], [INNER + '--source_dir has to end in photos']),
    (['train/photos/cat/1', 'train/train/2'], [INNER + 'move them up, out of photos']),
    (['train/train/1', 'train/photos/dog/1', 'train/photos/2'], [])])
def test_a_source_dir_that_is_too_high_is_reported(read, capsys, names, lines):
  read(*names, validation_fraction=0.1)
  assert capsys.readouterr().err.splitlines()[:-1] == lines  # The last says: no test part.


@pytest.mark.parametrize(('names', 'fraction'), [
    (['a/1', 'b/1'], 0.5), (['a/1', 'a/2', 'b/1'], 0.1)])
def test_too_few_photos_to_hold_one_out_are_reported(read, capsys, names, fraction):
  assert read(*names, validation_fraction=fraction).test.images == []
  assert capsys.readouterr().err == (
      f'no test part: no class has enough photos for --validation_fraction={fraction}; raise it, '
      'or add photos: each class keeps one\n')


def test_an_empty_class_folder_is_reported(read, tmp_path, capsys):
  for name in ('train/b', 'train/.git/refs'):
    (tmp_path / 'tree' / name).mkdir(parents=True)
  assert read('train/a/1', 'train/c/1', 'train/b/.DS_Store', 'test/a/1').classes == ['a', 'c']
  assert capsys.readouterr().err == f'left out: {tmp_path}/tree/train/b, an empty folder\n'


@pytest.mark.parametrize(('names', 'message'), [
    (['train/a/1', 'test/b/1', 'test/c/1'], 'no photos for training: b, c$'),
    (['1.jpg'], r'has no train/<class>/ or <class>/ folders.*: move the photos of each class'),
    (['train/a/1', 'val/a/1', 'test/a/1'], 'has test and val; keep one of them'),
    (['Train/a/1', 'training/a/1'], 'has Train and training; keep one of them, for the training'),
    (['a\nb/1'], r"rename the class folder 'a\\nb'"),
])
def test_trees_that_will_not_do(read, names, message):
  with pytest.raises(ConversionError, match=message):
    read(*names)


def test_a_class_name_that_is_not_utf8(read):
  with pytest.raises(ConversionError, match='rename the class folder'):
    read(os.fsdecode(b'caf\xe9/1'))


def test_validation_fraction_beside_a_test_folder(read):
  with pytest.raises(ConversionError, match='leave out --validation_fraction'):
    read('train/a/1', 'test/a/1', validation_fraction=0.1)


@pytest.mark.parametrize(('source', 'target', 'message'), [
    (None, 'x', 'needs --source_dir'), ('x', 'x/records', 'lies within'),
    ('x', 'x', 'lies within')])
def test_folders_that_will_not_do(tmp_path, monkeypatch, source, target, message):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(ConversionError, match=message):
    image_folder.read_raw(target, source_dir=source)
