"""MNIST: grey handwritten digits, 28 x 28 pixels, 10 classes (http://yann.lecun.com/exdb/mnist)."""
import struct

import numpy as np

from images.datasets import archives, tfrecord
from images.datasets.raw_data import ConversionError, RawData, Split, from_arrays

CLASSES = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine']
SIZES = {'train': 60000, 'test': 10000}
TRAIN_FILES = ['mnist_train.tfrecord']
TEST_FILES = ['mnist_test.tfrecord']
parse_fn = tfrecord.parse_example

URL = 'https://storage.googleapis.com/cvdf-datasets/mnist/'
_PREFIXES = {'train': 'train', 'test': 't10k'}


def read_raw(dataset_dir, *, source_dir=None):
  """Return the RawData of the four official idx files, compressed or not.

  Args:
    dataset_dir: string, where the files are, or are downloaded to.
    source_dir: string or None, a folder that has the files; nothing is downloaded then.

  Raises:
    ConversionError: a file is not there, damaged, or does not fit the others.
  """
  def split(part, files):
    images = read_idx(_fetch(f'{_PREFIXES[part]}-images-idx3-ubyte', dataset_dir, source_dir))
    path = _fetch(f'{_PREFIXES[part]}-labels-idx1-ubyte', dataset_dir, source_dir)
    labels = read_idx(path)
    if images.ndim != 3 or labels.shape != images.shape[:1]:
      raise ConversionError(f'{path}: labels of shape {list(labels.shape)} do not fit images of '
                            f'shape {list(images.shape)}; download the four files again')
    return Split(files, from_arrays(part, images, labels))
  return RawData(CLASSES, split('train', TRAIN_FILES), split('test', TEST_FILES))


def _fetch(name, dataset_dir, source_dir):
  return archives.fetch([name + '.gz', name], f'{URL}{name}.gz', source_dir=source_dir,
                        dataset_dir=dataset_dir)


def read_idx(path):
  """Return the uint8 array of an idx file: magic 0, 0, 8, rank; big-endian sizes; the bytes."""
  data = archives.read_gzip(path)
  rank = data[3] if data[:3] == b'\0\0\x08' and len(data) > 3 else 0
  start = 4 + 4 * rank
  if rank == 0 or len(data) < start:
    raise ConversionError(f'{path} is not an idx file of bytes; remove it and download it again')
  shape = struct.unpack(f'>{rank}I', data[4:start])
  pixels = np.frombuffer(data, np.uint8, offset=start)
  if pixels.size != np.prod(shape, dtype=np.int64):
    raise ConversionError(f'{path} holds {pixels.size} bytes for the shape {list(shape)}; remove '
                          'it and download it again')
  return pixels.reshape(shape)
