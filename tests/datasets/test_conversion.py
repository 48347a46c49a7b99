import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from images.datasets import conversion, dataset_factory, tfrecord
from images.datasets.raw_data import ConversionError
from images.utils.tf1 import tf
from tests.datasets import make_data

PHOTOS = {**make_data.photos({'cat': 6, 'dog': 5}, prefix='train/'),
          **make_data.photos({'cat': 2, 'dog': 2}, prefix='test/')}


@pytest.fixture
def photos(tmp_path):
  return make_data.write_tree(tmp_path / 'photos', PHOTOS)


def convert_photos(source, target, **options):
  return conversion.convert('image_folder', str(target), source_dir=str(source), **options)


def test_mnist_end_to_end(tmp_path):
  images, labels, _, _ = make_data.write_mnist(tmp_path)
  conversion.convert('mnist', str(tmp_path))
  path = str(tmp_path / 'mnist_train.tfrecord')
  parsed = make_data.run_dataset(
      lambda: tf.data.TFRecordDataset(path).map(conversion.DATASETS['mnist'].parse_fn))
  assert [label for _, label in parsed] == labels.tolist()
  for (encoded, _), image in zip(parsed, images):
    np.testing.assert_array_equal(make_data.decode_by_tensorflow(encoded),
                                  np.stack([image] * 3, -1))
  assert (tmp_path / 'labels.txt').read_text().splitlines()[9] == '9:nine'


def test_cifar10_end_to_end(tmp_path):
  make_data.write_tar(tmp_path / 'cifar-10-python.tar.gz', make_data.cifar10_files())
  conversion.convert('cifar10', str(tmp_path))
  first = make_data.read_features(tmp_path / 'cifar10_test.tfrecord')[0]
  planes = make_data.pixels(2, 3072, seed=0)[0].reshape(3, 32, 32)
  np.testing.assert_array_equal(make_data.decode(first['image/encoded']),
                                planes.transpose(1, 2, 0))
  assert (first['image/height'], first['image/width'], first['image/format']) == (32, 32, b'png')


def test_flowers_end_to_end(tmp_path):
  photos = make_data.flower_photos()
  make_data.write_tar(tmp_path / 'flower_photos.tgz', photos)
  manifest = conversion.convert('flowers', str(tmp_path))
  assert [entry['records'] for entry in manifest['files'].values()] == [7] * 5 + [1] * 5
  for name in manifest['files']:
    for record in make_data.read_features(tmp_path / name):
      photo = photos['flower_photos/' + record['image/filename'].decode()]
      assert record['image/encoded'] == photo


def test_image_folder_end_to_end(photos, tmp_path):
  target = tmp_path / 'records'
  manifest = convert_photos(photos, target, num_shards=2)
  train = [f'image_folder_train_0000{k}-of-00002.tfrecord' for k in range(2)]
  test = [f'image_folder_test_0000{k}-of-00002.tfrecord' for k in range(2)]
  assert sorted(os.listdir(target)) == sorted([*train, *test, 'labels.txt', 'manifest.json'])
  assert tfrecord.read_manifest(str(target)) == {'format': 1, **manifest}
  assert (manifest['classes'], manifest['train_files']) == (['cat', 'dog'], train)
  assert tfrecord.read_labels(str(target)) == {0: 'cat', 1: 'dog'}
  paths = [str(target / name) for name in [*train, *test]]
  assert tfrecord.record_counts(paths, None) == [6, 5, 2, 2]
  assert tfrecord.record_counts(paths, manifest) == [6, 5, 2, 2]
  names = ('image/filename', 'image/encoded', 'image/class/label')
  stored = sorted(tuple(record[name] for name in names)
                  for path in paths for record in make_data.read_features(path))
  assert stored == sorted((name.encode(), content, int('dog' in name))
                          for name, content in PHOTOS.items())


def test_the_same_photos_give_the_same_bytes(photos, tmp_path, monkeypatch):
  mirror = make_data.write_tree(tmp_path / 'mirror', dict(reversed(PHOTOS.items())))
  convert_photos(photos, tmp_path / 'a')
  walk = os.walk
  def backwards(*args, **kwargs):
    for folder, folders, names in walk(*args, **kwargs):
      folders.sort(reverse=True)
      yield folder, folders, sorted(names, reverse=True)
  monkeypatch.setattr(os, 'walk', backwards)
  convert_photos(mirror, tmp_path / 'b')
  assert make_data.folder_bytes(tmp_path / 'a') == make_data.folder_bytes(tmp_path / 'b')


def test_converting_again_replaces_and_leaves_no_old_shards(photos, tmp_path, capsys):
  convert_photos(photos, tmp_path / 'a', num_shards=4)
  convert_photos(photos, tmp_path / 'b', num_shards=2)
  assert 'earlier conversion' not in capsys.readouterr().err
  convert_photos(photos, tmp_path / 'a', num_shards=2)
  assert 'holds an earlier conversion, which is replaced' in capsys.readouterr().err
  assert make_data.folder_bytes(tmp_path / 'a') == make_data.folder_bytes(tmp_path / 'b')


@pytest.mark.parametrize('named', range(6))
def test_what_is_cut_off_while_files_get_their_names_is_no_mixture(
    photos, tmp_path, monkeypatch, named):
  """Of three training and three test files."""
  target = tmp_path / 'a'
  convert_photos(photos, target, num_shards=3)
  replace, done = os.replace, []

  def replace_some(*paths):
    if len(done) == named:
      raise KeyboardInterrupt
    done.append(replace(*paths))

  monkeypatch.setattr(os, 'replace', replace_some)
  with pytest.raises(KeyboardInterrupt):
    convert_photos(photos, target, num_shards=3)
  assert len(list(target.glob('image_folder_*'))) == named
  with pytest.raises((ValueError, FileNotFoundError), match='not the files of one|no file matches'):
    dataset_factory.get_data_sources('image_folder', str(target))


def test_all_names_are_on_the_disk_in_the_end(photos, tmp_path, monkeypatch):
  done, replace = [], os.replace
  monkeypatch.setattr(os, 'fsync', lambda file: done.append(os.readlink(f'/proc/self/fd/{file}')))
  monkeypatch.setattr(os, 'replace', lambda *paths: done.append(paths[1]) or replace(*paths))
  convert_photos(photos, tmp_path / 'a')
  assert done[-2:] == [f'{tmp_path}/a/manifest.json', f'{tmp_path}/a']


def test_a_failure_leaves_the_earlier_conversion(photos, tmp_path):
  convert_photos(photos, tmp_path / 'a')
  before = make_data.folder_bytes(tmp_path / 'a')
  (photos / 'train' / 'cat' / '0.jpg').write_bytes(b'junk')
  with pytest.raises(ConversionError, match='1 of 15 images'):
    convert_photos(photos, tmp_path / 'a')
  assert make_data.folder_bytes(tmp_path / 'a') == before


def test_another_number_of_records_than_the_official_one_is_reported(
    tmp_path, capsys, monkeypatch):
  make_data.write_mnist(tmp_path, train=7, test=3)
  monkeypatch.setitem(conversion.DATASETS['mnist'].SIZES, 'test', 2)
  conversion.convert('mnist', str(tmp_path))
  reported = capsys.readouterr().err
  assert 'mnist train: 7 records, not the official 60,000\n' in reported
  assert 'mnist test: 3 records, not the official 2\n' in reported


def test_a_damaged_manifest_does_not_hinder(photos, tmp_path):
  convert_photos(photos, tmp_path / 'a')
  (tmp_path / 'a' / 'manifest.json').write_text('{')
  convert_photos(photos, tmp_path / 'a')
  assert tfrecord.read_manifest(str(tmp_path / 'a'))['dataset'] == 'image_folder'


def test_another_data_set_is_not_overwritten(photos, tmp_path):
  make_data.write_mnist(tmp_path)
  conversion.convert('mnist', str(tmp_path / 'a'), source_dir=str(tmp_path))
  with pytest.raises(ConversionError, match='holds the data set mnist; choose another'):
    convert_photos(photos, tmp_path / 'a')


@pytest.mark.parametrize(('name', 'arguments', 'message'), [
    ('mnist', {'num_shards': 3}, '--num_shards: only for image_folder'),
    ('mnist', {'source_dir': '/nowhere'}, '--source_dir=/nowhere is not a folder'),
    ('mnist', {'source_dir': '.'}, r'--source_dir=\. has no train-images-idx3-ubyte.gz'),
    ('cifar10', {'source_dir': '.'}, 'has no cifar-10-python.tar.gz or cifar-10-batches-py$'),
    ('flowers', {'source_dir': '.'}, 'has no flower_photos.tgz or flower_photos$'),
    ('image_folder', {}, 'image_folder needs --source_dir'),
])
def test_what_the_user_has_to_put_right(tmp_path, monkeypatch, name, arguments, message):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(ConversionError, match=message):
    conversion.convert(name, str(tmp_path / 'a'), **arguments)


def test_an_unknown_data_set(tmp_path):
  with pytest.raises(ValueError, match='unknown data set .* nearest first: cifar10'):
    conversion.convert('cifar', str(tmp_path))


def test_remote_folders_are_not_written(photos):
  with pytest.raises(ConversionError, match='gs://x: convert into a local folder, then copy it'):
    convert_photos(photos, 'gs://x')


@pytest.mark.parametrize('inside', ['', 'folder'])
def test_a_folder_that_cannot_be_made(photos, tmp_path, inside):
  file = tmp_path / 'file'
  file.write_text('')
  with pytest.raises(ConversionError, match=r'--dataset_dir=\S+ cannot be created \(.*\): choose'):
    convert_photos(photos, file / inside)


def test_one_conversion_at_a_time(photos, tmp_path):
  with conversion._locked(str(tmp_path / 'a')), \
       pytest.raises(ConversionError, match='another conversion into .* is running'):
    convert_photos(photos, tmp_path / 'a')
  convert_photos(photos, tmp_path / 'a')


SLOW_CONVERSION = """
import sys, time
from images.datasets import conversion, raw_images
standardize = raw_images.standardize
def slow(content):
  time.sleep(0.5)
  return standardize(content)
raw_images.standardize = slow
conversion.convert('image_folder', sys.argv[2], source_dir=sys.argv[1])
"""


def test_kill_in_mid_conversion_leaves_nothing_that_looks_finished(photos, tmp_path):
  target = tmp_path / 'a'
  process = subprocess.Popen([sys.executable, '-c', SLOW_CONVERSION, photos, target])
  deadline = time.monotonic() + 120
  while not (target.exists() and len(os.listdir(target)) == 9):
    assert process.poll() is None
    assert time.monotonic() < deadline
    time.sleep(0.05)
  process.kill()
  assert process.wait() == -signal.SIGKILL
  left = os.listdir(target)
  assert len(left) == 9
  assert all(name.endswith('.tfrecord.partial') for name in left)

  convert_photos(photos, target, num_shards=1)
  convert_photos(photos, tmp_path / 'undisturbed', num_shards=1)
  assert make_data.folder_bytes(target) == make_data.folder_bytes(tmp_path / 'undisturbed')
