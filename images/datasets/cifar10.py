"""CIFAR-10: colour photos of things and animals, 32 x 32 pixels, 10 classes.

Source: https://www.cs.toronto.edu/~kriz/cifar.html
"""
import io
import pickle
import posixpath

import numpy as np

from images.datasets import archives, tfrecord
from images.datasets.raw_data import ConversionError, RawData, Split, from_arrays

CLASSES = ['airplane', 'automobile', 'bird', 'cat', 'deer',
           'dog', 'frog', 'horse', 'ship', 'truck']
SIZES = {'train': 50000, 'test': 10000}
TRAIN_FILES = ['cifar10_train.tfrecord']
TEST_FILES = ['cifar10_test.tfrecord']
parse_fn = tfrecord.parse_example

URL = 'https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz'
_BATCHES = {'train': [f'data_batch_{k}' for k in range(1, 6)], 'test': ['test_batch']}


def read_raw(dataset_dir, *, source_dir=None):
  """Return the RawData of the official python archive, or of the folder unpacked from it.

  Args:
    dataset_dir: string, where the archive is, or is downloaded to.
    source_dir: string or None, a folder that has it; nothing is downloaded then.

  Raises:
    ConversionError: the archive is not there, damaged, or not in the official layout.
  """
  path = archives.fetch(['cifar-10-python.tar.gz', 'cifar-10-batches-py'], URL,
                        source_dir=source_dir, dataset_dir=dataset_dir, inside='data_batch_1')
  tree = archives.read_tree(path, scratch_dir=dataset_dir)
  batches = {posixpath.basename(name): read for name, read in tree}

  def split(part, files):
    return Split(files, [raw for name in _BATCHES[part]
                         for raw in from_arrays(name, *_read_batch(batches, name, path))])
  return RawData(CLASSES, split('train', TRAIN_FILES), split('test', TEST_FILES))


def _read_batch(batches, name, path):
  """Return the uint8 pixels [n, 32, 32, 3] and the int64 labels [n] of one pickled batch."""
  if name not in batches:
    raise ConversionError(f'{path} has no {name}; download it again')
  try:
    batch = _ArrayUnpickler(io.BytesIO(batches[name]()), encoding='bytes').load()
    labels = np.asarray(batch[b'labels'], np.int64)
    # Stored plane by plane: 1024 red, 1024 green, 1024 blue bytes.
    pixels = np.asarray(batch[b'data'], np.uint8).reshape(len(labels), 3, 32, 32)
  # Loading a damaged pickle can raise nearly any exception.
  except Exception as error:
    raise ConversionError(f'{path}: {name} is not a batch of CIFAR-10 ({error}); remove it and '
                          'download it again') from error
  return pixels.transpose(0, 2, 3, 1), labels


def _encode_latin1(text, encoding):
  """Stand in for codecs.encode, which Python 3 uses to pickle bytes in the old protocols."""
  if encoding != 'latin1':
    raise pickle.UnpicklingError(f'encoding {encoding!r} is not expected')
  return text.encode('latin1')


class _ArrayUnpickler(pickle.Unpickler):
  """Unpickles arrays, numbers, strings and containers, and calls no other functions.

  A pickle names the functions that rebuild its objects; an untrusted archive could name
  any function.
  """
  _RECONSTRUCT = np.empty(0).__reduce__()[0]  # numpy keeps moving it between modules
  _ALLOWED = {
      ('numpy', 'ndarray'): np.ndarray,
      ('numpy', 'dtype'): np.dtype,
      ('numpy.core.multiarray', '_reconstruct'): _RECONSTRUCT,
      ('numpy._core.multiarray', '_reconstruct'): _RECONSTRUCT,
      ('_codecs', 'encode'): _encode_latin1,
  }

  def find_class(self, module, name):
    if (module, name) not in self._ALLOWED:
      raise pickle.UnpicklingError(f'it asks for {module}.{name}')
    return self._ALLOWED[module, name]
