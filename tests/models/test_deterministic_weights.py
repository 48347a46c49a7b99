"""Deterministic values never change, or the golden numbers would mean nothing."""
import numpy as np
import pytest

from tests.models import deterministic_weights


@pytest.mark.parametrize(('name', 'shape', 'total', 'magnitude'), [
    ('a/weights', [3, 3, 4, 8], -0.8437002, 58.30891),
    ('a/depthwise_weights', [3, 3, 4, 1], 1.01607, 17.69071),
    ('a/pointwise_weights', [1, 1, 4, 8], 1.873869, 11.14348),
    ('a/biases', [8], -0.1019213, 0.405508),
    ('a/gamma', [8], 8.253122, 8.253122),
    ('a/moving_variance', [8], 7.940237, 7.940237),
    ('r/bottleneck_v1/conv3/BatchNorm/gamma', [8], 1.627944, 1.627944),
    ('global_step', [1], 0, 0),
])
def test_values_are_frozen(name, shape, total, magnitude):
  value = deterministic_weights.value(name, shape)
  assert value.dtype == np.float32
  assert value.shape == tuple(shape)
  np.testing.assert_allclose([value.sum(), np.abs(value).sum()], [total, magnitude], rtol=1e-5)


def test_images_and_labels_are_frozen():
  images = deterministic_weights.images(2, 32, 3)
  assert images.min() == -1
  assert images.max() == 1
  np.testing.assert_allclose(images.sum(), 390.854, rtol=1e-5)
  assert deterministic_weights.labels(4, 1001).tolist() == [380, 443, 574, 819]
