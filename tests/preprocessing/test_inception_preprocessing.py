"""Inception preprocessing: published outputs, and what its random draws look like."""
import numpy as np
import pytest

from images.preprocessing import image_ops
from images.preprocessing.image_ops import stateless_image
from images.preprocessing.inception_preprocessing import preprocess_image
from images.utils.tf1 import tf


def train(image, seed, **kwargs):
  """Return a distorted image of 16 x 16 pixels."""
  return preprocess_image(image, 16, 16, is_training=True, seed=seed, **kwargs)


def test_evaluation_is_as_published(assert_golden):
  assert_golden('inception', preprocess_image)


def test_float_images_are_in_zero_to_one_already(run):
  image = np.random.RandomState(0).randint(0, 256, (20, 30, 3), np.uint8)
  from_float = preprocess_image(tf.constant(image / np.float32(255)), 8, 8)
  np.testing.assert_allclose(*run([from_float, preprocess_image(image, 8, 8)]), atol=1e-6)


@pytest.mark.parametrize('kwargs', [{}, {'is_training': True, 'seed': 3},
                                    {'is_training': True, 'seed': 3, 'fast_mode': False}])
def test_decoded_or_not_gives_the_same(assert_same_decoded, kwargs):
  assert_same_decoded(preprocess_image, **kwargs)


@pytest.mark.parametrize('fast_mode', [True, False])
def test_the_seed_decides_everything(run, photo, fast_mode):
  image = tf.constant(photo)
  seed = tf.placeholder(tf.int64, [2])
  output = train(image, seed, fast_mode=fast_mode)
  one, same, other = (run(output, {seed: pair}) for pair in ([1, 2], [1, 2], [1, 3]))
  np.testing.assert_array_equal(one, same)
  assert np.abs(one - other).max() > 0.01


@pytest.mark.parametrize('fast_mode', [True, False])
def test_every_draw_has_a_seed_of_its_own(seeds, fast_mode):
  train(tf.zeros([32, 32, 3]), 1, fast_mode=fast_mode)
  assert len(set(seeds())) == len(seeds()) == 6  # Two are split.


def test_without_a_seed_every_run_differs(run, photo):
  output = train(tf.constant(photo), None)
  assert not np.array_equal(run(output), run(output))


@pytest.mark.parametrize('fast_mode', [True, False])
def test_training_stays_in_range(sample, photo, fast_mode):
  images = sample(lambda seed: train(tf.constant(photo), seed, fast_mode=fast_mode), 100)
  assert images.shape == (100, 16, 16, 3)
  assert images.min() >= -1
  assert images.max() <= 1


def test_half_of_the_images_are_mirrored(sample):
  ramp = np.broadcast_to(np.arange(0, 200, 2, dtype=np.uint8)[None, :, None], (100, 100, 3))
  images = sample(lambda seed: train(tf.constant(ramp), seed), 400)
  mirrored = (images[:, :, 0] > images[:, :, -1]).mean()
  assert mirrored == pytest.approx(0.5, abs=0.1)


def test_brightness_is_uniform(sample):
  # Grey has no saturation to change, so that what is left is the brightness.
  grey = np.full([40, 40, 3], 128, np.uint8)
  images = sample(lambda seed: train(tf.constant(grey), seed), 400)
  assert images.std(axis=(1, 2, 3)).max() < 1e-5
  delta = (images.mean(axis=(1, 2, 3)) / 2 + 0.5 - 128 / 255) / (32 / 255)
  assert delta.min() == pytest.approx(-1, abs=0.05)
  assert delta.max() == pytest.approx(1, abs=0.05)
  assert delta.std() == pytest.approx(1 / np.sqrt(3), abs=0.05)


def test_saturation_is_uniform(sample):
  # (max - min) / max of a colour scales with the factor, whatever the brightness is.
  colour = np.broadcast_to(np.array([150, 130, 120], np.uint8), (40, 40, 3))
  images = sample(lambda seed: train(tf.constant(colour), seed), 400)[:, 8, 8] / 2 + 0.5
  before = 30 / 255 / (150 / 255 + (images.max(axis=1) - 150 / 255))
  factor = (np.ptp(images, axis=1) / images.max(axis=1)) / before
  assert factor.min() == pytest.approx(0.5, abs=0.02)
  assert factor.max() == pytest.approx(1.5, abs=0.02)
  assert factor.mean() == pytest.approx(1.0, abs=0.05)


def test_hue_turns_only_in_slow_mode(sample):
  red = np.broadcast_to(np.array([150, 120, 120], np.uint8), (20, 20, 3))
  for fast_mode in (True, False):
    images = sample(lambda seed, fast=fast_mode: train(
        tf.constant(red), seed, fast_mode=fast), 60)
    tint = np.abs(images[:, 8, 8, 1] - images[:, 8, 8, 2]).max()
    assert (tint < 1e-4) == fast_mode


def test_slow_mode_distorts_colours_in_one_of_four_orders(sample, monkeypatch):
  """As TensorFlow does each; a symmetric image that is all in the window is only recoloured."""
  monkeypatch.setattr(image_ops, 'distorted_window', lambda size, **_: tf.concat([[0, 0], size], 0))
  half = np.random.RandomState(0).uniform(0.1, 0.9, [16, 8, 3]).astype(np.float32)
  photo = tf.constant(np.concatenate([half, half[:, ::-1]], 1))
  change = {
      'b': lambda image, seed: stateless_image.stateless_random_brightness(image, 32 / 255, seed),
      's': lambda image, seed: stateless_image.stateless_random_saturation(image, 0.5, 1.5, seed),
      'h': lambda image, seed: stateless_image.stateless_random_hue(image, 0.2, seed),
      'c': lambda image, seed: stateless_image.stateless_random_contrast(image, 0.5, 1.5, seed)}

  def in_order(order, seed):
    *_, colour_seed = image_ops.split_seed(seed, 4)
    _, *seeds = image_ops.split_seed(colour_seed, 5)
    image = photo
    for name in order:
      image = change[name](image, dict(zip('bshc', seeds))[name])
    return tf.clip_by_value(image, 0, 1) * 2 - 1

  images = sample(lambda seed: tf.stack([
      train(photo, seed, fast_mode=False),
      *[in_order(order, seed) for order in ('bshc', 'sbch', 'chbs', 'hscb')]]), 40)
  is_equal = np.abs(images[:, :1] - images[:, 1:]).max(axis=(2, 3, 4)) < 1e-4
  assert is_equal.any(axis=1).all()
  # Unless it meets its limit, saturation may come before brightness or after it.
  of_one_order = is_equal[is_equal.sum(axis=1) == 1]
  assert of_one_order.any(axis=0).all()


def test_contrast_is_uniform_in_slow_mode(sample):
  # Grey has no saturation and no hue to change.
  halves = np.repeat(np.array([100, 150], np.uint8), 50)[None, :, None]
  halves = np.broadcast_to(halves, (100, 100, 3))
  images = sample(lambda seed: train(tf.constant(halves), seed, fast_mode=False), 400)[:, 8, :, 0]
  both = np.abs(images[:, 0] - images[:, 2]) + np.abs(images[:, -1] - images[:, -3]) < 1e-5
  factor = np.abs(images[:, 0] - images[:, -1])[both] / 2 / (50 / 255)
  factor = factor[factor > 1e-3]
  assert factor.min() == pytest.approx(0.5, abs=0.05)
  assert factor.max() == pytest.approx(1.5, abs=0.05)
  assert factor.mean() == pytest.approx(1.0, abs=0.1)


def test_objects_stay_in_sight(sample):
  image = np.zeros([100, 100, 3], np.uint8)
  image[70:, 70:] = 255

  def seen(bbox):
    images = sample(lambda seed: train(tf.constant(image), seed, bbox=bbox), 200)
    return (np.ptp(images, axis=(1, 2, 3)) > 1).mean()

  assert seen(None) < 0.8
  assert seen(tf.constant([[[0.7, 0.7, 1.0, 1.0]]])) > 0.95
