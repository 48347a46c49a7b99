"""The functions that pipelines are lists of, against NumPy and against each other."""
import functools

import numpy as np
import pytest

from images.preprocessing import image_ops
from images.utils.tf1 import tf

# Two frames of 2 x 1 pixels: red and green, then blue.
GIF = (
    b'GIF87a\x02\x00\x01\x00\x81\x00\x00\xff\x00\x00\x00\xff\x00\x00'
    b'\x00\x00\x00\x00\x00,\x00\x00\x00\x00\x02\x00\x01\x00\x00\x08\x05\x00\x01\x04'
    b'\x08\x08\x00!\xf9\x04\x01\x00\x00\x01\x00,\x00\x00\x00\x00\x02\x00\x01\x00'
    b'\x81\x00\x00\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x08\x05\x00\x01\x00\x08\x08'
    b'\x00;')


def legacy_bilinear(image, height, width, window=None):
  """Return `window` of `image` resized without half-pixel shift, in float64."""
  def positions(old, new, start, length):
    position = np.arange(start, start + length) * (old / new)
    low = np.floor(position).astype(int)
    return low, np.minimum(low + 1, old - 1), position - low

  y, x, rows, columns = window or (0, 0, height, width)
  top, bottom, down = positions(image.shape[0], height, y, rows)
  left, right, across = positions(image.shape[1], width, x, columns)
  down, across = down[:, None, None], across[None, :, None]
  rows = image[top] * (1 - down) + image[bottom] * down
  return rows[:, left] * (1 - across) + rows[:, right] * across


def noise(height, width):
  """Return a random uint8 image."""
  return np.random.RandomState(height + width).randint(0, 256, (height, width, 3), np.uint8)


def test_seeds_follow_from_the_seed(run):
  one, same, pair, other = run([image_ops.split_seed(seed, 3)
                                for seed in (5, tf.constant(5), (5, 0), [5, 1])])
  np.testing.assert_array_equal(one, same)
  np.testing.assert_array_equal(one, pair)
  assert len({tuple(seed) for seed in one + other}) == 6


def test_draws_are_uniform_and_follow_from_the_seed(run):
  one, same, other = run([image_ops.draws(seed, 1000) for seed in (5, [5, 0], [5, 1])])
  np.testing.assert_array_equal(one, same)
  np.testing.assert_array_equal(one, run(tf.random.stateless_uniform([1000], [5, 0])))
  assert np.all(one != other)
  counts = np.histogram(one, bins=4, range=(0, 1))[0]
  assert counts.sum() == 1000
  assert counts.min() > 200


def test_mirrors_where_asked_to(run):
  image = noise(5, 7)
  kept, mirrored = run([image_ops.mirror_if(tf.constant(image), tf.constant(choice))
                        for choice in (False, True)])
  np.testing.assert_array_equal(kept, image)
  np.testing.assert_array_equal(mirrored, image[:, ::-1])


def test_no_seed_means_another_one_each_time(run):
  seeds = image_ops.split_seed(None, 2)
  assert not np.array_equal(run(seeds), run(seeds))


def test_a_seed_of_another_shape_is_an_error(run):
  with pytest.raises(ValueError, match='seed is an integer or a pair'):
    image_ops.split_seed([1, 2, 3], 2)


def test_decodes_whatever_is_lossless_to_its_pixels(run):
  image = noise(5, 7)
  png = run(tf.image.encode_png(image))
  header = b'BM' + np.array([54 + 5 * 24, 0, 54, 40, 7, 5], '<u4').tobytes()
  rows = np.pad(image[::-1, :, ::-1].reshape(5, 21), [(0, 0), (0, 3)])
  bmp = header + np.array([1, 24], '<u2').tobytes() + bytes(24) + rows.tobytes()
  for data in (png, bmp):
    np.testing.assert_array_equal(run(image_ops.decode(tf.constant(data))), image)


def test_of_an_animation_the_first_frame_counts(run):
  np.testing.assert_array_equal(run(image_ops.decode(GIF)), [[[255, 0, 0], [0, 255, 0]]])


def test_grey_becomes_three_channels(run):
  grey = noise(9, 8)[:, :, :1]
  jpeg = run(tf.image.encode_jpeg(grey))
  for image in (grey, tf.constant(jpeg)):
    pixels = run(image_ops.decode(image))
    assert pixels.shape == (9, 8, 3)
    np.testing.assert_array_equal(pixels[..., 0], pixels[..., 2])


@pytest.mark.parametrize('read', [
    image_ops.decode,
    lambda image: image_ops.decode_window(image, lambda size: [0, 0, 1, 1]),
])
def test_what_cannot_be_decoded_is_an_error(run, photo, read):
  image = tf.placeholder(tf.string, [])
  pixels = read(image)
  png = run(tf.image.encode_png(noise(40, 40)))
  for data in (b'', b'no image', photo[:2], photo[:200], png[:200]):
    with pytest.raises(tf.errors.InvalidArgumentError):
      run(pixels, {image: data})


def test_a_jpeg_cut_short_is_an_error(run, photo):
  with pytest.raises(tf.errors.InvalidArgumentError):
    run(image_ops.decode(tf.constant(photo[:-3000])))


@pytest.mark.parametrize('encoding', ['jpeg', 'grey jpeg', 'sharp jpeg', 'png'])
def test_a_decoded_window_is_the_window_of_the_decoded(run, encoding):
  image = noise(50, 34)
  data = tf.constant(run({
      'jpeg': tf.image.encode_jpeg(image),
      'grey jpeg': tf.image.encode_jpeg(image[..., :1]),
      'sharp jpeg': tf.image.encode_jpeg(image, chroma_downsampling=False),
      'png': tf.image.encode_png(image),
  }[encoding]))
  window = tf.placeholder(tf.int32, [4])
  pixels = run(image_ops.decode(data))
  part = image_ops.decode_window(data, lambda size: window)
  for y, x, height, width in [(0, 0, 50, 34), (0, 0, 1, 1), (49, 33, 1, 1), (11, 0, 10, 1),
                              (13, 33, 14, 1), (7, 15, 20, 16), (16, 3, 30, 31)]:
    np.testing.assert_array_equal(run(part, {window: [y, x, height, width]}),
                                  pixels[y:y + height, x:x + width])


@pytest.mark.parametrize('downsampled', [True, False])
def test_an_inexact_window_differs_in_the_colour_of_outer_columns_only(run, downsampled):
  data = tf.constant(run(tf.image.encode_jpeg(noise(50, 34), chroma_downsampling=downsampled)))
  window = tf.placeholder(tf.int32, [4])
  exact, other = (tf.cast(image_ops.decode_window(data, lambda size: window, exact=exact), tf.int32)
                  for exact in (True, False))
  differences = 0
  for y, x, height, width in [(0, 0, 50, 34), (0, 0, 1, 1), (49, 33, 1, 1), (11, 0, 10, 1),
                              (13, 33, 14, 1), (7, 15, 20, 16), (16, 3, 30, 31)]:
    difference = run(exact - other, {window: [y, x, height, width]})
    np.testing.assert_array_equal(difference[:, 1:-1], 0)
    differences += np.count_nonzero(difference)
  assert (differences > 0) == downsampled


def test_the_window_is_chosen_by_the_size(run, photo):
  seen = image_ops.decode_window(
      tf.constant(photo), lambda size: tf.concat([[0, 0], size - [179, 239]], axis=0))
  assert run(seen).shape == (1, 2, 3)


def test_the_central_window_cuts_both_ends_alike(run):
  for size in [(8, 8), (47, 61), (375, 500), (1, 3)]:
    y, x, height, width = run(image_ops.central_window(tf.constant(size), fraction=0.875))
    for start, length, side in [(y, height, size[0]), (x, width, size[1])]:
      assert start == int((side - side * 0.875) / 2)
      assert length == side - 2 * start


def test_distorted_windows_keep_area_and_aspect_in_range(sample):
  size = tf.constant([200, 300])
  windows = sample(lambda seed: image_ops.distorted_window(size, seed=seed), 2000, tf.int32)
  y, x, height, width = windows.T.astype(float)
  assert (y >= 0).all()
  assert (x >= 0).all()
  assert (y + height <= 200).all()
  assert (x + width <= 300).all()
  area, aspect = height * width / 60000, width / height
  assert area.min() > 0.045
  assert area.min() < 0.2
  assert area.max() > 0.8
  # Sides are whole pixels, which bends the ratio of the smallest windows a little.
  assert aspect.min() == pytest.approx(0.75, abs=0.02)
  assert aspect.max() == pytest.approx(1.33, abs=0.02)


def test_distorted_windows_keep_a_tenth_of_an_object_in_sight(sample):
  box = tf.constant([[[0.5, 0.5, 1.0, 1.0]]])
  windows = sample(lambda seed: image_ops.distorted_window(
      tf.constant([100, 100]), seed=seed, bbox=box), 500, tf.int32)
  y, x, height, width = windows.T
  seen = np.clip(y + height - 50, 0, 50) * np.clip(x + width - 50, 0, 50)
  assert seen.min() >= 0.1 * 50 * 50 * 0.95


def test_where_no_window_fits_it_is_the_whole_image(run):
  window = image_ops.distorted_window(tf.constant([3, 500]), seed=[1, 2], area_range=(0.9, 1.0))
  np.testing.assert_array_equal(run(window), [0, 0, 3, 500])
  [draw] = [op for op in window.graph.get_operations() if 'BoundingBox' in op.type]
  assert draw.get_attr('max_attempts') == 100


def test_an_image_without_objects_is_one_itself(run):
  without, whole = run([image_ops.distorted_window(tf.constant([90, 90]), seed=[1, 2], bbox=bbox)
                        for bbox in (tf.zeros([1, 0, 4]), tf.constant([[[0.0, 0.0, 1.0, 1.0]]]))])
  np.testing.assert_array_equal(without, whole)


def test_random_windows_are_equally_likely_everywhere(sample):
  windows = sample(lambda seed: image_ops.random_window(
      tf.constant([12, 10]), tf.constant([8, 10]), draw=image_ops.draws(seed, 2)), 1000, tf.int32)
  assert {tuple(row) for row in windows[:, 1:]} == {(0, 8, 10)}
  counts = np.bincount(windows[:, 0], minlength=5)
  assert len(counts) == 5
  assert counts.min() > 150
  assert counts.max() < 250


@pytest.mark.parametrize('size', [(32, 40), (90, 70), (47, 61)])
def test_resizes_without_half_pixel_shift(run, size):
  image = noise(47, 61)
  expected = legacy_bilinear(image, *size)
  np.testing.assert_allclose(run(image_ops.resize(image, *size)), expected, atol=0.01)


@pytest.mark.parametrize(('size', 'side', 'expected'), [
    ((375, 500), 256, (256, 341)),
    ((500, 333), 256, (384, 256)),
    ((2, 5), 1, (1, 2)),  # 2.5, and
    ((2, 7), 1, (1, 4)),  # 3.5: halves go to the even side.
    ((28, 28), 300, (300, 300)),
])
def test_the_smaller_side_sets_the_size(run, size, side, expected):
  assert tuple(run(image_ops.size_with_smaller_side(tf.constant(size), side))) == expected


def test_an_image_too_thin_to_be_enlarged_is_an_error(run):
  resize = functools.partial(image_ops.resize_smaller_side, side=2)
  assert run(resize(np.zeros([1, 256, 3], np.uint8))).shape == (2, 512, 3)
  for size in ([1, 257], [257, 1]):
    with pytest.raises(tf.errors.InvalidArgumentError, match='more than 256 times the other; crop'):
      run(resize(np.zeros([*size, 3], np.uint8)))


def test_pads_evenly_and_only_where_needed(run):
  image = np.full([2, 9, 3], 7, np.uint8)
  padded = run(image_ops.pad_to_at_least(image, 5, 4))
  np.testing.assert_array_equal(padded, np.pad(image, [(1, 2), (0, 0), (0, 0)]))


def test_a_wrong_shape_is_found_while_running(run):
  image = tf.placeholder(tf.float32, [None, None, None])
  fixed = image_ops.fix_shape(image, 4, 5)
  assert fixed.shape == [4, 5, 3]
  with pytest.raises(tf.errors.InvalidArgumentError):
    run(fixed, {image: np.zeros([4, 5, 1])})
