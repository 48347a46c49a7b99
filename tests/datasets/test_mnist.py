import gzip

import numpy as np
import pytest

from images.datasets import mnist
from images.datasets.raw_data import ConversionError
from tests.datasets import make_data


@pytest.mark.parametrize('suffix', ['.gz', ''])
def test_raw_images_and_labels(tmp_path, suffix):
  expected = make_data.write_mnist(tmp_path, suffix=suffix)
  data = mnist.read_raw('', source_dir=str(tmp_path))
  assert data.classes[:2] == ['zero', 'one']
  assert (data.train.files, data.test.files) == (['mnist_train.tfrecord'], ['mnist_test.tfrecord'])
  for split, pixels, labels in ((data.train, *expected[:2]), (data.test, *expected[2:])):
    np.testing.assert_array_equal([raw.read() for raw in split.images], pixels)
    assert [raw.label for raw in split.images] == labels.tolist()


def test_files_in_dataset_dir_are_used(tmp_path):
  make_data.write_mnist(tmp_path, train=4)
  assert len(mnist.read_raw(str(tmp_path)).train.images) == 4


def test_files_are_downloaded_when_they_are_nowhere(tmp_path, monkeypatch):
  (tmp_path / 'www').mkdir()
  (tmp_path / 'target').mkdir()
  make_data.write_mnist(tmp_path / 'www')
  monkeypatch.setattr(mnist, 'URL', (tmp_path / 'www').as_uri() + '/')
  assert len(mnist.read_raw(str(tmp_path / 'target')).test.images) == 3
  assert (make_data.folder_bytes(tmp_path / 'target')
          == make_data.folder_bytes(tmp_path / 'www'))


def test_a_missing_file_is_named(tmp_path):
  with pytest.raises(ConversionError, match='has no train-images-idx3-ubyte.gz or train-images'):
    mnist.read_raw('', source_dir=str(tmp_path))


def test_labels_that_do_not_fit(tmp_path):
  make_data.write_mnist(tmp_path)
  make_data.write_idx(tmp_path / 't10k-labels-idx1-ubyte.gz', make_data.pixels(9))
  with pytest.raises(ConversionError, match=r'labels of shape \[9\] do not fit .*\[3, 28, 28\]'):
    mnist.read_raw('', source_dir=str(tmp_path))


@pytest.mark.parametrize(('data', 'message'), [
    (b'', 'is not an idx file'),
    (b'\0\0\x0d\x01\0\0\0\x01\0\0\0\0', 'is not an idx file'),
    (b'\0\0\x08\x03\0\0', 'is not an idx file'),
    (b'\0\0\x08\x01\0\0\0\x05abc', r'holds 3 bytes for the shape \[5\]'),
])
def test_damaged_files_are_named(tmp_path, data, message):
  (tmp_path / 'a.gz').write_bytes(gzip.compress(data))
  with pytest.raises(ConversionError, match=r'a\.gz ' + message):
    mnist.read_idx(str(tmp_path / 'a.gz'))
