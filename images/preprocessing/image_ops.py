"""The small functions that the preprocessing pipelines are composed of.

An image is either decoded, [height, width, channels], or a scalar string that holds
an encoded JPEG, PNG, GIF or BMP file. A window is an int32 vector [y, x, height,
width] in pixels. A seed is an integer vector [2], and every random function here is
a pure function of its arguments and that seed.
"""
from images.utils.tf1 import tf

# TensorFlow keeps the random image functions that take a seed in its version 2 API.
stateless_image = tf.compat.v2.image

# Columns decoded beyond each side of a JPEG window and cut off again: the decoder
# interpolates colour between neighbouring columns, and has none beyond a window.
_JPEG_MARGIN = 2

# The largest ratio between the sides of an image that is resized as a whole.
_MAX_ASPECT_RATIO = 256


def as_seed(seed):
  """Return an int64 tensor [2] for an integer, a pair of integers, or None.

  Args:
    seed: integer or integer pair (numbers or a tensor), or None to draw one from
      TensorFlow's stateful generator, which obeys `tf.set_random_seed`.

  Raises:
    ValueError: `seed` has another shape.
  """
  if seed is None:
    seed = tf.random.uniform([2], maxval=2**62, dtype=tf.int64)
  seed = tf.cast(tf.convert_to_tensor(seed, dtype_hint=tf.int64), tf.int64)
  if seed.shape.rank == 0:
    seed = tf.stack([seed, 0])
  if not seed.shape.is_compatible_with([2]):
    raise ValueError(f'seed is an integer or a pair of integers, but has shape {seed.shape}')
  return seed


def split_seed(seed, count):
  """Return a list of `count` seeds, int64 [2], for independent random draws."""
  return tf.unstack(tf.random.experimental.stateless_split(as_seed(seed), count), count)


def draws(seed, count):
  """Return random float32 [count] in [0, 1) by one operation; split seeds would take many.

  The values are those of tf.random.stateless_uniform(), which takes eight operations.
  """
  return tf.raw_ops.StatelessRandomUniform(shape=[count], seed=as_seed(seed))


def decode(image, *, keep_grey=False):
  """Return the pixels of `image`: uint8 [height, width, 3] if it is encoded.

  Of an animated GIF, only the first frame is decoded.

  Args:
    image: see the module docstring.
    keep_grey: whether a decoded image that is known to have one channel keeps it,
      instead of repeating it three times.

  Raises:
    ValueError: the image is neither a scalar string nor three-dimensional.
    tf.errors.InvalidArgumentError: at run time, the bytes are no image.
  """
  image = tf.convert_to_tensor(image)
  if image.dtype == tf.string:
    pixels = tf.image.decode_image(image, channels=3, expand_animations=False)
    return tf.ensure_shape(pixels, [None, None, 3])
  image = tf.ensure_shape(image, [None, None, None])
  return tf.image.grayscale_to_rgb(image) if image.shape[-1] == 1 and not keep_grey else image


def decode_window(image, choose_window, *, exact=True):
  """Return a window of `image`, decoding no more of a JPEG than necessary.

  A JPEG that is cut short still yields the windows that end before the cut.

  Args:
    image: see the module docstring.
    choose_window: function from an int32 tensor [2], height and width of the
      image, to a window that lies within.
    exact: whether the result equals, bit for bit, the same window of the wholly
      decoded image. Otherwise less is decoded, and the colour of the first and the last
      column of a JPEG's window may differ.

  Returns:
    Pixels [window height, window width, 3], uint8 if `image` is encoded.

  Raises:
    tf.errors.InvalidArgumentError: at run time, the bytes are no image.
  """
  def crop_pixels():
    pixels = decode(image)
    return crop(pixels, choose_window(tf.shape(pixels)[:2]))

  def crop_jpeg():
    size = tf.io.extract_jpeg_shape(image)[:2]
    window = choose_window(size)
    if exact:
      return _decode_exact_window(image, size, window)
    return tf.image.decode_and_crop_jpeg(image, window, channels=3)

  image = tf.convert_to_tensor(image)
  if image.dtype != tf.string:
    return crop_pixels()
  pixels = tf.cond(tf.io.is_jpeg(image), crop_jpeg, crop_pixels)
  return tf.ensure_shape(pixels, [None, None, 3])


def _decode_exact_window(image, size, window):
  """Return uint8 [window height, window width, 3] of a JPEG of `size`, int32 [2]."""
  offset, extent = tf.split(window, 2)
  begin = tf.maximum(offset - [0, _JPEG_MARGIN], 0)
  end = tf.minimum(offset + extent + [0, _JPEG_MARGIN], size)
  wider = tf.concat([begin, end - begin], axis=0)
  pixels = tf.image.decode_and_crop_jpeg(image, wider, channels=3)
  return crop(pixels, tf.concat([offset - begin, extent], axis=0))


def crop(image, window):
  """Return the part of the decoded `image` inside `window`."""
  offset, extent = tf.split(window, 2)
  # Not a size of -1 for all that remain, which XLA takes literally.
  return tf.slice(image, tf.concat([offset, [0]], axis=0),
                  tf.concat([extent, tf.shape(image)[2:]], axis=0))


def central_window(size, *, fraction):
  """Return the window that keeps the central `fraction` of both sides of `size`.

  Of a side of n pixels, int((n - n * fraction) / 2), computed in float64, are cut off at
  either end, so that the window has the parity of the image.
  """
  length = tf.cast(size, tf.float64)
  offset = tf.cast((length - length * fraction) / 2, tf.int32)
  return tf.concat([offset, size - 2 * offset], axis=0)


def distorted_window(size, *, seed, bbox=None, area_range=(0.05, 1.0)):
  """Return a random window whose width is 0.75 to 1.33 times its height, as for GoogLeNet.

  It covers at least a tenth of one of the boxes. If 100 attempts find no such window, it is the
  whole image.

  Args:
    size: int32 [2], height and width of the image.
    seed: see the module docstring.
    bbox: float32 [1, boxes, 4], the objects as [y_min, x_min, y_max, x_max] in
      fractions of the image; None stands for one box that is the whole image.
    area_range: bounds of the area, as a fraction of the image's.

  Source of the defaults: Szegedy et al., Going Deeper with Convolutions, 2014,
  section 6, with the area range that the published checkpoints were trained with.
  """
  begin, extent, _ = tf.raw_ops.StatelessSampleDistortedBoundingBox(
      image_size=tf.concat([size, [3]], axis=0),
      bounding_boxes=tf.constant([[[0, 0, 1, 1]]], tf.float32) if bbox is None else bbox,
      min_object_covered=0.1,
      seed=seed,
      aspect_ratio_range=(0.75, 1.33),
      area_range=area_range,
      max_attempts=100,
      use_image_if_no_bounding_boxes=True)
  return tf.concat([begin[:2], extent[:2]], axis=0)


def random_window(size, extent, *, draw):
  """Return a window of `extent` in `size`, all places equally likely.

  Args:
    size: int32 [2], height and width of the image.
    extent: int32 [2], height and width of the window, at most those of the image.
    draw: float32 [2] in [0, 1), which determines the place.
  """
  places = tf.cast(size - extent + 1, tf.float32)
  return tf.concat([tf.cast(draw * places, tf.int32), extent], axis=0)


def mirror_if(image, mirrored):
  """Return the decoded `image`, left and right exchanged if `mirrored`, a bool scalar."""
  return tf.cond(mirrored, lambda: tf.reverse(image, axis=[1]), lambda: image)


def resize(image, height, width, method=tf.image.ResizeMethod.BILINEAR):
  """Return `image` at another size, float32, resized as TensorFlow 1 does.

  Pixel i of n is sampled at i * (old n / n), without the half-pixel shift and without
  smoothing, as for the published checkpoints.
  """
  # The values are the same as without the cast, but uint8 takes longer to resize.
  image = tf.cast(image, tf.float32)
  return tf.image.resize_images(image, [height, width], method, align_corners=False)


def resize_smaller_side(image, side):
  """Return `image`, float32, resized to a smaller side of `side` with its aspect ratio kept.

  Raises:
    tf.errors.InvalidArgumentError: at run time, one side is more than _MAX_ASPECT_RATIO times as
      long as the other: resized, a small file would take hundreds of megabytes or more.
  """
  size = tf.shape(image)[:2]
  is_thin = tf.reduce_max(size) > _MAX_ASPECT_RATIO * tf.reduce_min(size)
  with tf.control_dependencies([tf.debugging.Assert(~is_thin, [
      'an image of height and width', size,
      f'is too thin: one side is more than {_MAX_ASPECT_RATIO} times the other; crop it'])]):
    return resize(image, *tf.unstack(size_with_smaller_side(size, side)))


def size_with_smaller_side(size, side):
  """Return int32 [2]: `size` scaled to a smaller side of `side`, the other one rounded.

  The scale is a float32, and halves round to even.
  """
  scale = tf.cast(side, tf.float32) / tf.cast(tf.reduce_min(size), tf.float32)
  return tf.cast(tf.math.rint(tf.cast(size, tf.float32) * scale), tf.int32)


def pad_to_at_least(image, height, width):
  """Return `image`, padded evenly with zeros to at least `height` x `width` pixels."""
  size = tf.maximum(tf.shape(image)[:2], [height, width])
  return tf.image.pad_to_bounding_box(
      image, *tf.unstack((size - tf.shape(image)[:2]) // 2), *tf.unstack(size))


def fix_shape(image, height, width, channels=3):
  """Return `image` with a static shape, which is checked at run time."""
  return tf.ensure_shape(image, [height, width, channels])
