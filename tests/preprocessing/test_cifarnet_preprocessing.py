"""CifarNet preprocessing: published outputs, every size of image, its random draws."""
import numpy as np
import pytest

from images.preprocessing.cifarnet_preprocessing import preprocess_image
from images.utils.tf1 import tf


def train(image, seed=1, size=32):
  """Return a distorted image of `size` x `size` pixels."""
  return preprocess_image(image, size, size, is_training=True, seed=seed)


def test_evaluation_is_as_published(assert_golden):
  assert_golden('cifarnet', preprocess_image)


@pytest.mark.parametrize('kwargs', [{}, {'is_training': True, 'seed': 3}])
def test_decoded_or_not_gives_the_same(assert_same_decoded, kwargs):
  assert_same_decoded(preprocess_image, **kwargs)


@pytest.mark.parametrize('is_training', [True, False])
@pytest.mark.parametrize('size', [(1, 1), (8, 8), (28, 28), (20, 70), (300, 500)])
def test_images_of_any_size_give_the_output_size(run, size, is_training):
  image = np.random.RandomState(0).randint(0, 256, (*size, 3), np.uint8)
  output = preprocess_image(image, 32, 24, is_training)
  assert output.shape == [32, 24, 3]
  output = run(output)
  assert np.isfinite(output).all()
  assert output.mean() == pytest.approx(0, abs=1e-4)


def test_the_seed_decides_everything(run, golden):
  seed = tf.placeholder(tf.int64, [2])
  output = train(tf.constant(golden['image/cifar_32']), seed)
  one, same, other = (run(output, {seed: pair}) for pair in ([1, 2], [1, 2], [1, 3]))
  np.testing.assert_array_equal(one, same)
  assert np.abs(one - other).max() > 0.1


def test_every_draw_has_a_seed_of_its_own(seeds):
  train(tf.zeros([32, 32, 3]))
  assert len(set(seeds())) == len(seeds()) == 4  # One is split.


def test_crops_reach_four_pixels_beyond_the_image(sample):
  white = tf.constant(np.full([32, 32, 3], 255, np.uint8))
  images = sample(lambda seed: train(white, seed), 900)[..., 0]
  lit = images > images.min(axis=(1, 2), keepdims=True) + 1e-3
  for axis in (1, 2):
    line = lit.any(axis=axis)
    # Black in front: the crop began so much earlier; black behind: so much later.
    offset = np.where(line[:, 0], 4 + (32 - line.sum(axis=1)), 4 - line.argmax(axis=1))
    # Without any black nothing tells image from padding, and nothing was shifted.
    offset = offset[lit.any(axis=(1, 2))]
    counts = np.bincount(offset, minlength=9)
    assert len(counts) == 9
    assert counts.min() > 60
    assert counts.max() < 150


def test_half_of_the_images_are_mirrored(sample):
  ramp = np.broadcast_to(np.arange(100, 132, dtype=np.uint8)[None, :, None], (32, 32, 3))
  images = sample(lambda seed: train(tf.constant(ramp), seed, 16), 400)
  assert (images[:, 8, 5, 0] > images[:, 8, 10, 0]).mean() == pytest.approx(0.5, abs=0.08)


def test_contrast_is_uniform(sample):
  # Stripes 40 apart in two channels whose means are 40 apart: contrast moves the
  # former and not the latter, and standardization does not change their ratio.
  image = np.zeros([80, 80, 3], np.uint8)
  image[:, 0::2] = [100, 60, 60]
  image[:, 1::2] = [140, 100, 100]
  images = sample(lambda seed: train(tf.constant(image), seed, 16), 500)
  all_rows_alike = np.ptp(images, axis=1).max(axis=(1, 2)) < 1e-4
  both_sides_alike = np.abs(images[:, 0, :2] - images[:, 0, -2:]).max(axis=(1, 2)) < 1e-4
  images = images[all_rows_alike & both_sides_alike]  # no crop that reaches into the padding
  assert len(images) > 300
  stripes = np.abs(images[:, 0, 1, 0] - images[:, 0, 0, 0])
  factor = stripes / (images[..., 0].mean(axis=(1, 2)) - images[..., 1].mean(axis=(1, 2)))
  assert factor.min() == pytest.approx(0.2, abs=0.02)
  assert factor.max() == pytest.approx(1.8, abs=0.02)
  assert factor.mean() == pytest.approx(1.0, abs=0.06)
