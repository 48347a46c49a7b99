import os
import pickle

import numpy as np
import pytest

from images.datasets import cifar10
from images.datasets.raw_data import ConversionError
from tests.datasets import make_data


def read(tmp_path, files):
  make_data.write_tar(tmp_path / 'cifar-10-python.tar.gz', files)
  return cifar10.read_raw(str(tmp_path))


def test_batches_are_read_in_order(tmp_path):
  data = read(tmp_path, make_data.cifar10_files())
  # make_data seeds batches 1 to 5 with 2, 4, 5, 1, 3 and labels them from there on.
  assert [raw.label for raw in data.train.images] == [2, 3, 4, 5, 5, 6, 1, 2, 3, 4]
  assert [raw.label for raw in data.test.images] == [0, 1]
  assert data.classes[9] == 'truck'


def test_planes_become_pixels(tmp_path):
  planes = make_data.pixels(2, 3072, seed=0).reshape(2, 3, 32, 32)
  images = [raw.read() for raw in read(tmp_path, make_data.cifar10_files()).test.images]
  for row, image in enumerate(images):
    for channel in range(3):
      np.testing.assert_array_equal(image[:, :, channel], planes[row, channel])


def test_the_unpacked_folder_will_do(tmp_path):
  make_data.write_tree(tmp_path, make_data.cifar10_files())
  for source in (tmp_path, tmp_path / 'cifar-10-batches-py'):
    assert len(cifar10.read_raw(str(tmp_path), source_dir=str(source)).train.images) == 10


def test_python_2_pickles(tmp_path):
  # As Python 2 wrote them: str, not bytes, and numpy's former module names.
  def old(data):
    return pickle.dumps(pickle.loads(data), protocol=0).replace(
        b'cnumpy._core.multiarray', b'cnumpy.core.multiarray')
  files = {name: old(data) if 'batch' in os.path.basename(name) else data
           for name, data in make_data.cifar10_files().items()}
  assert b'numpy.core.multiarray' in files['cifar-10-batches-py/test_batch']
  assert len(read(tmp_path, files).test.images) == 2


def test_a_missing_batch_is_named(tmp_path):
  files = make_data.cifar10_files()
  del files['cifar-10-batches-py/data_batch_3']
  with pytest.raises(ConversionError, match=r'tar\.gz has no data_batch_3'):
    read(tmp_path, files)


class _Call:
  def __reduce__(self):
    return os.mkdir, ('made_by_pickle',)


@pytest.mark.parametrize(('batch', 'message'), [
    (pickle.dumps({b'data': _Call()}), r'it asks for posix\.mkdir'),
    (pickle.dumps({b'data': b''}), 'labels'),
    (pickle.dumps({b'labels': [1], b'data': make_data.pixels(1, 99)}), 'reshape'),
    (b'junk', 'test_batch is not a batch'),
])
def test_a_batch_that_is_none(tmp_path, monkeypatch, batch, message):
  monkeypatch.chdir(tmp_path)
  files = {**make_data.cifar10_files(), 'cifar-10-batches-py/test_batch': batch}
  with pytest.raises(ConversionError, match=message):
    read(tmp_path, files)
  assert os.listdir(tmp_path) == ['cifar-10-python.tar.gz']
