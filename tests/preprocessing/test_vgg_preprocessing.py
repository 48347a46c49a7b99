"""VGG preprocessing: published outputs, larger sizes, and its random draws."""
import numpy as np
import pytest

from images.preprocessing.vgg_preprocessing import MEAN_RGB, preprocess_image
from images.utils.tf1 import tf


def coordinates(height, width):
  """Return an image whose red is the column and whose green is the row."""
  image = np.zeros([height, width, 3], np.uint8)
  image[..., 0] += np.arange(width, dtype=np.uint8)
  image[..., 1] += np.arange(height, dtype=np.uint8)[:, None]
  return image


def test_evaluation_is_as_published(assert_golden):
  assert_golden('vgg', preprocess_image)


@pytest.mark.parametrize('kwargs', [{}, {'is_training': True, 'seed': 3}])
def test_decoded_or_not_gives_the_same(assert_same_decoded, kwargs):
  assert_same_decoded(preprocess_image, **kwargs)


@pytest.mark.parametrize('is_training', [True, False])
@pytest.mark.parametrize('size', [(299, 299), (257, 64), (600, 513)])
def test_outputs_may_be_larger_than_the_resize_side(run, photo, is_training, size):
  image = preprocess_image(tf.constant(photo), *size, is_training)
  assert image.shape == [*size, 3]
  assert run(image).shape == (*size, 3)


def test_a_larger_output_is_the_whole_of_a_square_image(run):
  whole = run(preprocess_image(coordinates(150, 150), 300, 300)) + np.float32(MEAN_RGB)
  np.testing.assert_allclose(whole[0, ::2, 0], np.arange(150), atol=1e-4)
  np.testing.assert_allclose(whole[::2, 0, 1], np.arange(150), atol=1e-4)


def test_the_resize_side_can_be_set(run):
  image = run(preprocess_image(coordinates(100, 100), 64, 64, resize_side_min=100))
  np.testing.assert_allclose(image[0, :, 0] + MEAN_RGB[0], 18 + np.arange(64), atol=1e-4)


def test_the_seed_decides_everything(run, photo):
  seed = tf.placeholder(tf.int64, [2])
  output = preprocess_image(tf.constant(photo), 32, 32, is_training=True, seed=seed)
  one, same, other = (run(output, {seed: pair}) for pair in ([1, 2], [1, 2], [1, 3]))
  np.testing.assert_array_equal(one, same)
  assert np.abs(one - other).max() > 1


def test_training_draws_scale_place_and_direction(sample):
  image = tf.constant(coordinates(200, 200))
  crops = sample(lambda seed: preprocess_image(
      image, 96, 96, is_training=True, seed=seed), 600) + np.float32(MEAN_RGB)
  # The last row and column of the image repeat, so that steps are taken from the middle.
  step = (crops[:, 0, 60, 0] - crops[:, 0, 10, 0]) / 50
  mirrored = step < 0
  assert mirrored.mean() == pytest.approx(0.5, abs=0.07)

  side = 200 / np.abs(step)
  np.testing.assert_allclose(side, np.rint(side), atol=0.01)
  assert 256 <= np.rint(side).min() < 262
  assert 506 < np.rint(side).max() <= 512
  assert side.mean() == pytest.approx(384, abs=10)

  y = crops[:, 0, 0, 1] * side / 200
  x = np.where(mirrored, crops[:, 0, -1, 0], crops[:, 0, 0, 0]) * side / 200
  for offset in (y, x):
    place = offset / (side - 96)
    assert place.min() == pytest.approx(0, abs=0.02)
    assert place.max() == pytest.approx(1, abs=0.02)
    assert place.std() == pytest.approx(1 / np.sqrt(12), abs=0.03)


def test_a_training_crop_is_a_crop_of_the_resized_image(run):
  # With one side to choose from and no room to move, only the direction is open.
  image = np.random.RandomState(0).randint(0, 256, (50, 50, 3), np.uint8)
  whole = run(preprocess_image(image, 80, 80, resize_side_min=80))
  crop = run(preprocess_image(image, 80, 80, is_training=True, seed=1,
                              resize_side_min=80, resize_side_max=80))
  assert min(np.abs(crop - whole).max(), np.abs(crop - whole[:, ::-1]).max()) < 0.01
