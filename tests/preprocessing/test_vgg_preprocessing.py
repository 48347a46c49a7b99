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
  # The last row and column of a crop repeat, so that steps are taken from the middle.
  step = (crops[:, 0, 60, 0] - crops[:, 0, 10, 0]) / 50
  mirrored = step < 0
  assert mirrored.mean() == pytest.approx(0.5, abs=0.07)

  # A crop has as many pixels of the image as make 96 where its 200 are resized to 256 to 512.
  part = 96 * np.abs(step)
  np.testing.assert_allclose(part, np.rint(part), atol=0.01)
  assert np.rint(part).min() == 38
  assert np.rint(part).max() == 75
  assert part.mean() == pytest.approx(200 * 96 * np.log(2) / 256, abs=1.5)

  y = crops[:, 0, 0, 1]
  x = np.minimum(crops[:, 0, 0, 0], crops[:, 0, -1, 0])
  for offset in (y, x):
    place = offset / (200 - part)
    assert place.min() == pytest.approx(0, abs=0.02)
    assert place.max() == pytest.approx(1, abs=0.03)
    assert place.std() == pytest.approx(1 / np.sqrt(12), abs=0.03)


def test_both_ends_of_the_range_of_scales_are_drawn(sample):
  """Two pixels are made of all six at a side of 2, three apart, and of four at a side of 3."""
  image = tf.constant(coordinates(6, 6))
  crops = sample(lambda seed: preprocess_image(image, 2, 2, is_training=True, seed=seed,
                                               resize_side_min=2, resize_side_max=3), 50)
  assert set(np.abs(crops[:, 0, 1, 0] - crops[:, 0, 0, 0]).round(3)) == {3, 2}


@pytest.mark.parametrize(('height', 'width', 'parts'), [(100, 140, (25, 17)), (2, 900, (1, 1))])
def test_a_training_crop_is_a_resized_part_of_the_image(run, height, width, parts):
  """A side of 256 for 100 pixels: 64 of the output are 25 of the image, and 43 are 17."""
  image = np.arange(height * width, dtype=np.float32).reshape(height, width, 1) % 251
  image = np.repeat(image, 3, axis=2).astype(np.uint8)
  crop = run(preprocess_image(image, 64, 43, is_training=True, seed=3, resize_side_max=256))
  crop = crop[..., 0] + np.float32(MEAN_RGB)[0]
  places = np.ndindex(height - parts[0] + 1, width - parts[1] + 1)
  of_image = (image[y:, x:, 0][:parts[0], :parts[1]] for y, x in places)
  found = [part for part in of_image for mirrored in (part, part[:, ::-1])
           if np.abs(resized(mirrored) - crop).max() < 0.01]
  assert found


def resized(part):
  """Resize to 64 x 43 by bilinear interpolation without half-pixel shift."""
  part = part.astype(np.float64)
  y = np.arange(64) * part.shape[0] / 64
  x = np.arange(43) * part.shape[1] / 43
  rows, columns = y.astype(int), x.astype(int)
  below, right = (np.minimum(first + 1, size - 1) for first, size in zip((rows, columns),
                                                                        part.shape))
  down, across = (y - rows)[:, None], x - columns
  top = part[rows][:, columns] * (1 - across) + part[rows][:, right] * across
  bottom = part[below][:, columns] * (1 - across) + part[below][:, right] * across
  return top * (1 - down) + bottom * down


def test_a_training_crop_without_room_to_move(run):
  # With one side to choose from, only the direction is open.
  image = np.random.RandomState(0).randint(0, 256, (50, 50, 3), np.uint8)
  whole, mirrored = (run(preprocess_image(pixels, 80, 80, resize_side_min=80))
                     for pixels in (image, image[:, ::-1]))
  crop = run(preprocess_image(image, 80, 80, is_training=True, seed=1,
                              resize_side_min=80, resize_side_max=80))
  assert min(np.abs(crop - whole).max(), np.abs(crop - mirrored).max()) < 0.01
