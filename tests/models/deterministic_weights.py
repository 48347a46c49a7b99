"""Values for variables, images and labels that depend on names, shapes and a seed only.

The golden numbers were computed with these values. The stream is NumPy's legacy
RandomState, whose output never changes, keyed by SHA-256 of '<seed>:<name>'.
"""
import hashlib
import re

import numpy as np

# Sums of branches are damped, or the activations of the deepest nets would explode.
_DAMPED = {
    r'/bottleneck_v1/conv3/BatchNorm/gamma$': 0.2,
    r'/bottleneck_v2/conv3/weights$': 0.2,
    r'^MobilenetV3/expanded_conv[^/]*/project/BatchNorm/gamma$': 0.7,
    r'^MobilenetEdgeTPU/expanded_conv[^/]*/project/BatchNorm/gamma$': 0.5,
    r'(^|/)comb_iter_\d+/(left|right)/.*gamma$': 0.6,
}


def value(name, shape, seed=0):
  """Return the float32 value of the variable `name` (without ':0')."""
  random = _random(name, seed)
  draw = _DRAWS.get(name.rsplit('/', 1)[-1], lambda random, shape, damping: np.zeros(shape))
  damping = next((factor for pattern, factor in _DAMPED.items() if re.search(pattern, name)), 1.0)
  return np.asarray(draw(random, tuple(shape), damping)).astype(np.float32)


def images(batch, size, channels, seed=0):
  """Return smooth blobs with noise, float32 [batch, size, size, channels] in [-1, 1]."""
  random = _random(f'images/{batch}x{size}x{size}x{channels}', seed)
  coarse = random.uniform(-1.2, 1.2, size=(batch, 5, 5, channels))
  noise = random.uniform(-0.4, 0.4, size=(batch, size, size, channels))
  position = np.linspace(0.0, 4.0, size)
  left = np.minimum(position.astype(np.int64), 3)
  weights = np.zeros((size, 5))
  weights[np.arange(size), left] = 1.0 - (position - left)
  weights[np.arange(size), left + 1] += position - left
  smooth = np.einsum('hi,bijc,wj->bhwc', weights, coarse, weights)
  return np.clip(smooth + noise, -1.0, 1.0).astype(np.float32)


def labels(batch, num_classes, seed=0):
  """Return int32 labels [batch] below `num_classes`."""
  random = _random(f'labels/{batch}/{num_classes}', seed)
  return random.randint(0, num_classes, size=(batch,)).astype(np.int32)


def _random(name, seed):
  """Return the random stream that belongs to a name."""
  digest = hashlib.sha256(f'{seed}:{name}'.encode()).digest()
  return np.random.RandomState(np.frombuffer(digest, '<u4'))


def _weights(random, shape, damping):
  """Draw normal weights that keep the variance through a rectifier."""
  return random.randn(*shape) * (np.sqrt(2.0 / np.prod(shape[:-1])) * damping)


def _small(random, shape, _):
  return random.randn(*shape) * 0.1


def _around_one(spread, random, shape, damping):
  return (1.0 + spread * (2.0 * random.rand(*shape) - 1.0)) * damping


# The last part of a variable's name -> how to draw it.
_DRAWS = {
    'weights': _weights,
    'depthwise_weights': lambda random, shape, _: (
        random.randn(*shape) * np.sqrt(2.0 / (shape[0] * shape[1]))),
    'pointwise_weights': lambda random, shape, _: (
        random.randn(*shape) * np.sqrt(1.0 / np.prod(shape[:-1]))),
    'biases': _small,
    'beta': _small,
    'moving_mean': _small,
    'gamma': lambda *arguments: _around_one(0.2, *arguments),
    'moving_variance': lambda random, shape, _: _around_one(0.3, random, shape, 1.0),
}
