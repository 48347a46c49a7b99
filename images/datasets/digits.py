"""Digits: 1,797 grey handwritten digits, 10 classes, bundled with scikit-learn; no download.

They are stored upscaled from 8 x 8 to 28 x 28 pixels, the size of MNIST.
Source: https://scikit-learn.org/stable/modules/generated/sklearn.datasets.load_digits.html
"""
import numpy as np

from images.datasets import tfrecord
from images.datasets.mnist import CLASSES
from images.datasets.raw_data import ConversionError, RawData, Split, from_arrays, hold_out

SIZES = {'train': 1437, 'test': 360}
TRAIN_FILES = ['digits_train.tfrecord']
TEST_FILES = ['digits_test.tfrecord']
parse_fn = tfrecord.parse_example


def read_raw(dataset_dir, *, source_dir=None):
  """Return the RawData of scikit-learn's digits, a fifth of every class as the test part.

  Args:
    dataset_dir: unused, there is nothing to find or download.
    source_dir: unused.

  Raises:
    ConversionError: scikit-learn is not installed.
  """
  del dataset_dir, source_dir
  try:
    from sklearn.datasets import load_digits
  except ImportError:
    raise ConversionError('the digits come with scikit-learn, which is not installed; '
                          'pip install scikit-learn') from None
  digits = load_digits()
  pixels, labels = upscale(digits.images), digits.target
  fraction = SIZES['test'] / sum(SIZES.values())
  classes = [np.flatnonzero(labels == label).tolist() for label in range(len(CLASSES))]
  train, test = (np.sort(rows) for rows in hold_out(classes, fraction))
  return RawData(CLASSES,
                 Split(TRAIN_FILES, from_arrays('train', pixels[train], labels[train])),
                 Split(TEST_FILES, from_arrays('test', pixels[test], labels[test])))


def upscale(images):
  """Resize float arrays [n, 8, 8] of 0 to 16 to uint8 arrays [n, 28, 28] of 0 to 255."""
  from PIL import Image
  def resize(image):
    grey = Image.fromarray(np.round(image * (255 / 16)).astype(np.uint8))
    return np.asarray(grey.resize((28, 28), Image.Resampling.BICUBIC))
  return np.stack([resize(image) for image in images])
