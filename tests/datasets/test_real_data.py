"""Converts real data; where it lies is told by FASTNN_DATA."""
import gzip
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from images.datasets import conversion
from tests.datasets import make_data


@pytest.fixture
def real_data():
  if 'FASTNN_DATA' not in os.environ:
    pytest.skip('set FASTNN_DATA to a folder with mnist/*.gz, flowers/flower_photos.tgz, '
                'make_cifar10_archive.py, cifar10/cifar10_jpeg.zip and '
                'imagenet_samples/imagenet_samples.zip')
  return pathlib.Path(os.environ['FASTNN_DATA'])


def convert_zip(archive, prefixes, tmp_path, **options):
  """Convert an image folder of the members that start with `prefixes`; return its records."""
  with zipfile.ZipFile(archive) as file:
    file.extractall(tmp_path / 'photos', [name for name in file.namelist()
                                          if name.startswith(prefixes) and name[-1] != '/'])
  manifest = conversion.convert('image_folder', str(tmp_path / 'records'),
                                source_dir=str(tmp_path / 'photos'), **options)
  return manifest, {name: make_data.read_features(tmp_path / 'records' / name)
                    for name in manifest['files']}


def test_mnist(real_data, tmp_path):
  conversion.convert('mnist', str(tmp_path), source_dir=str(real_data / 'mnist'))
  data = gzip.decompress((real_data / 'mnist' / 't10k-images-idx3-ubyte.gz').read_bytes())
  pixels = np.frombuffer(data, np.uint8, offset=16).reshape(-1, 28, 28)
  labels = gzip.decompress((real_data / 'mnist' / 't10k-labels-idx1-ubyte.gz').read_bytes())[8:]
  records = make_data.read_features(tmp_path / 'mnist_test.tfrecord')
  assert [record['image/class/label'] for record in records] == list(labels)
  for record, image in zip(records, pixels):
    np.testing.assert_array_equal(make_data.decode(record['image/encoded'])[:, :, 1], image)


def test_flowers(real_data, tmp_path):
  shutil.copy(real_data / 'flowers' / 'flower_photos.tgz', tmp_path)
  manifest = conversion.convert('flowers', str(tmp_path))
  counts = [entry['records'] for entry in manifest['files'].values()]
  assert counts == [167, 167, 166, 166, 166, 18, 18, 18, 17, 17]
  assert {entry['labels'][1] for entry in manifest['files'].values()} == {4}


def test_imagenet_samples(real_data, tmp_path):
  archive = real_data / 'imagenet_samples' / 'imagenet_samples.zip'
  manifest, records = convert_zip(archive, ('n',), tmp_path, num_shards=3)
  assert [len(examples) for examples in records.values()] == [34, 33, 33]
  assert manifest['classes'] == sorted(manifest['classes'])
  for record in sum(records.values(), []):
    name = record['image/filename'].decode()
    assert manifest['classes'][record['image/class/label']] == name.split('/')[0]
    pixels = make_data.decode_by_tensorflow(record['image/encoded'])
    assert pixels.shape == (record['image/height'], record['image/width'], 3)
    original = (tmp_path / 'photos' / name).read_bytes()
    np.testing.assert_array_equal(pixels, make_data.decode(original))


def test_cifar10(real_data, tmp_path):
  """The official archive, with fewer images."""
  subprocess.run([sys.executable, real_data / 'make_cifar10_archive.py', tmp_path,
                  '--train=100', '--test=20'], check=True, stdout=subprocess.DEVNULL)
  manifest = conversion.convert('cifar10', str(tmp_path / 'records'), source_dir=str(tmp_path))
  counts = {name: entry['records'] for name, entry in manifest['files'].items()}
  assert counts == {'cifar10_train.tfrecord': 100, 'cifar10_test.tfrecord': 20}
  records = make_data.read_features(tmp_path / 'records' / 'cifar10_test.tfrecord')
  # The archive has the first two photos of each class, one class after the other, twice.
  names = manifest['classes'] * 2
  assert [names[k] for k in range(20)] == [manifest['classes'][record['image/class/label']]
                                           for record in records]
  with zipfile.ZipFile(real_data / 'cifar10' / 'cifar10_jpeg.zip') as file:
    for number, (record, name) in enumerate(zip(records, names)):
      photos = sorted(member for member in file.namelist()
                      if member.startswith(f'test/{name}/') and member[-1] != '/')
      np.testing.assert_array_equal(make_data.decode(record['image/encoded']),
                                    make_data.decode(file.read(photos[number // 10])))


@pytest.mark.slow
def test_cifar10_as_a_folder(real_data, tmp_path):
  archive = real_data / 'cifar10' / 'cifar10_jpeg.zip'
  prefixes = ('train/cat/', 'train/dog/', 'test/cat/', 'test/dog/')
  _, records = convert_zip(archive, prefixes, tmp_path, num_shards=4)
  assert [len(examples) for examples in records.values()] == [2500] * 4 + [500] * 4
  for examples in records.values():
    cats = sum(record['image/class/label'] == 0 for record in examples)
    assert 0.4 < cats / len(examples) < 0.6
