"""Batch norm by the covariance of inputs is batch norm of what the convolution makes of them."""
import numpy as np
import pytest

from images.utils import covariance_utils
from images.utils.tf1 import tf

EPSILON = 0.001


def expected_of(images, filters, gamma, beta, factors):
  """Return outputs, mean, variance and the gradients of sum(outputs * factors), in float64."""
  pixels, weights, of_outputs = [tensor.reshape(-1, tensor.shape[-1]).astype(float)
                                 for tensor in (images, filters, factors)]
  convolved = pixels @ weights
  mean, variance = convolved.mean(0), convolved.var(0)
  normal = (convolved - mean) / np.sqrt(variance + EPSILON)
  of_gamma, of_beta = (of_outputs * normal).sum(0), of_outputs.sum(0)
  of_convolved = gamma / np.sqrt(variance + EPSILON) * (
      of_outputs - of_beta / len(pixels) - normal * of_gamma / len(pixels))
  return [(gamma * normal + beta).reshape(factors.shape), mean, variance,
          (of_convolved @ weights.T).reshape(images.shape),
          (pixels.T @ of_convolved).reshape(filters.shape), of_gamma, of_beta]


def found_for(images, filters, gamma, beta, factors):
  with tf.Graph().as_default(), tf.Session() as session:
    tensors = [tf.constant(each, tf.float32) for each in (images, filters, gamma, beta)]
    outputs, mean, variance = covariance_utils.convolution(*tensors, EPSILON)
    for found, shape in (outputs, factors.shape), (mean, beta.shape), (variance, beta.shape):
      assert found.shape == shape
    gradients = tf.gradients(outputs, tensors, tf.constant(factors, tf.float32))
    return session.run([outputs, mean, variance, *gradients])


def random_case(offset=0.0):
  numbers = np.random.default_rng(1)
  shapes = [3, 4, 5, 6], [1, 1, 6, 20], [20], [20], [3, 4, 5, 20]
  images, *others = [numbers.normal(size=shape).astype(np.float32) for shape in shapes]
  return images + np.float32(offset), *others


@pytest.mark.parametrize(('offset', 'tolerance'), [(0, 2e-6), (1, 1e-5), (10, 5e-4)])
def test_outputs_statistics_and_gradients(offset, tolerance):
  case = random_case(offset)
  found, expected = found_for(*case), expected_of(*case)
  assert len(found) == len(expected) == 7
  for ours, theirs in zip(found, expected):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max())


def test_what_does_not_vary_becomes_beta():
  """Rounding may make its variance negative, whose root is not a number."""
  images, filters, gamma, beta, factors = random_case()
  images[:] = images[0, 0, 0]
  outputs, _, variance, *gradients = found_for(images, filters, gamma, beta, factors)
  assert 0 <= variance.min() <= variance.max() < 1e-5
  np.testing.assert_allclose(outputs, np.broadcast_to(beta, outputs.shape), atol=1e-3)
  assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_what_is_too_large_to_square_is_told():
  """A training step looks at whether statistics are finite."""
  images, *others = random_case()
  _, mean, variance, *_ = found_for(images * np.float32(1e20), *others)
  assert np.isfinite(mean).all()
  assert not np.isfinite(variance).any()


@pytest.mark.parametrize(('shape', 'depth', 'expected'), [
    ((16, 56, 56, 64), 256, True),    # Of ResNets.
    ((16, 28, 28, 128), 512, True),
    ((16, 14, 14, 256), 1024, False),
    ((16, 7, 7, 512), 2048, False),
    ((16, 56, 56, 64), 64, False),
    ((16, 56, 56, 24), 144, True),    # Of MobileNets.
    ((16, 7, 7, 160), 960, True),
    ((16, 56, 56, 24), 72, True),
    ((16, 56, 56, 24), 71, False),
    ((16, 28, 28, 128), 410, True),
    ((16, 28, 28, 128), 409, False),
    ((8, 16, 16, 64), 256, True),     # Just large enough.
    ((8, 16, 15, 64), 256, False),
    ((None, 56, 56, 64), 256, False),
])
def test_where_a_processor_gains(shape, depth, expected):
  with tf.Graph().as_default():
    assert covariance_utils.is_faster(tf.placeholder(tf.float32, shape), depth) is expected
    assert not covariance_utils.is_faster(tf.placeholder(tf.bfloat16, shape), depth)
