"""CifarNet preprocessing: pixels as they are, never resized, standardized per image."""
from images.preprocessing import image_ops
from images.preprocessing.image_ops import stateless_image
from images.utils.tf1 import tf

# Black pixels added at each side, so that a random crop may reach into them.
_PADDING = 4


def preprocess_image(image, output_height, output_width, is_training=False, *, seed=None):
  """Return the image in the form that the networks for CIFAR-10 expect.

  An image that is too small for the output is padded with zeros evenly, one that is
  too large is cropped.

  Args:
    image: [height, width, 3] in 0 to 255, or a scalar string of encoded bytes.
    output_height, output_width: ints, pixels.
    is_training: whether to crop, flip and change brightness and contrast at random;
      otherwise the centre is cropped.
    seed: integer or pair of integers that determines all randomness; None draws one.

  Returns:
    float32 [output_height, output_width, 3] of mean 0 and standard deviation 1.

  Raises:
    tf.errors.InvalidArgumentError: at run time, the bytes are no image.
  """
  size = (output_height, output_width)
  image = tf.cast(image_ops.decode(image), tf.float32)
  if is_training:
    image = _distort(image, size, seed=seed)
  else:
    image = tf.image.resize_image_with_crop_or_pad(image, *size)
  return tf.image.per_image_standardization(image_ops.fix_shape(image, *size))


def _distort(image, size, *, seed):
  """Return a random crop, perhaps mirrored, in random brightness and contrast."""
  seed, brightness_seed, contrast_seed = image_ops.split_seed(seed, 3)
  *place, mirrored = tf.unstack(image_ops.draws(seed, 3))
  image = tf.pad(image, [[_PADDING, _PADDING], [_PADDING, _PADDING], [0, 0]])
  image = image_ops.pad_to_at_least(image, *size)
  window = image_ops.random_window(tf.shape(image)[:2], size, draw=tf.stack(place))
  image = image_ops.mirror_if(image_ops.crop(image, window), mirrored < 0.5)
  image = stateless_image.stateless_random_brightness(image, 63.0, brightness_seed)
  return stateless_image.stateless_random_contrast(image, 0.2, 1.8, contrast_seed)
