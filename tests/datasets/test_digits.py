import sys

import numpy as np
import pytest

from images.datasets import digits
from images.datasets.raw_data import ConversionError

MISSING = 'scikit-learn is not installed: pip install scikit-learn'


def test_a_fifth_of_every_class_is_for_the_test():
  pytest.importorskip('sklearn', reason=MISSING)
  data = digits.read_raw('')
  assert (len(data.train.images), len(data.test.images)) == (1437, 360)
  train, test = (np.bincount([raw.label for raw in split.images])
                 for split in (data.train, data.test))
  np.testing.assert_array_equal(train + test, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180])
  np.testing.assert_allclose(test, (train + test) / 5, atol=1)


def test_all_images_are_scikit_learns():
  datasets = pytest.importorskip('sklearn.datasets', reason=MISSING)
  source = datasets.load_digits()
  data = digits.read_raw('')
  # Cells of 3.5 pixels: the mean of each comes close to the pixel it was enlarged from.
  mean = sorted((raw.label, round(float(raw.read().mean()))) for split in data[1:]
                for raw in split.images)
  expected = sorted((int(label), image.mean() * 255 / 16)
                    for label, image in zip(source.target, source.images))
  assert [label for label, _ in mean] == [label for label, _ in expected]
  np.testing.assert_allclose([m for _, m in mean], [m for _, m in expected], atol=6)


def test_upscale():
  checkers = np.indices((8, 8)).sum(0) % 2 * 16.0
  result = digits.upscale(np.stack([np.full((8, 8), 8.0), checkers]))
  assert (result.shape, result.dtype) == ((2, 28, 28), np.uint8)
  np.testing.assert_array_equal(result[0], np.full((28, 28), 128))
  assert (result[1].min(), result[1].max()) == (0, 255)


def test_without_scikit_learn(monkeypatch):
  monkeypatch.setitem(sys.modules, 'sklearn.datasets', None)
  with pytest.raises(ConversionError, match='pip install scikit-learn'):
    digits.read_raw('')
