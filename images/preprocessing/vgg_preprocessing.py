"""VGG preprocessing: aspect ratio kept, cropped, minus the mean colour of ImageNet."""
import numpy as np

from images.preprocessing import image_ops
from images.utils.tf1 import tf

# Red, green, blue, on the scale 0 to 255.
# Source: the models of Simonyan and Zisserman, Very Deep Convolutional Networks, 2014.
MEAN_RGB = (123.68, 116.78, 103.94)


def preprocess_image(image, output_height, output_width, is_training=False, **options):
  """Return the image in the form that the VGG and ResNet families expect.

  train_image_classifiers.py calls its two halves, crop_and_resize() and subtract_mean(),
  separately, see preprocessing_factory.halves_map.

  Args:
    Those of crop_and_resize().

  Returns:
    float32 [output_height, output_width, 3], about -124 to 151.

  Raises:
    tf.errors.InvalidArgumentError: at run time, the bytes are no image.
  """
  return subtract_mean(crop_and_resize(image, output_height, output_width, is_training, **options))


def crop_and_resize(image, output_height, output_width, is_training=False, *,
                    seed=None, resize_side_min=256, resize_side_max=512):
  """Return the image of preprocess_image() before the mean is subtracted: float32, 0 to 255.

  If the output is larger than a resize side, that side is raised to the output's, so that
  every size works.

  Args:
    image: [height, width, 3] in 0 to 255, or a scalar string of encoded bytes.
    output_height, output_width: ints, pixels.
    is_training: whether to crop and flip at random; otherwise the centre is cropped.
    seed: integer or pair of integers that determines all randomness; None draws one.
    resize_side_min: int, pixels of the smaller side before cropping, and in training
      the lower end of its range.
    resize_side_max: int, the upper end of that range, inclusive.
  """
  size = (output_height, output_width)
  side_min = max(resize_side_min, *size)
  if is_training:
    side_max = max(resize_side_max, side_min)
    image = _crop_for_train(image, size, side_min, side_max, seed=seed)
  else:
    image = _crop_for_eval(image, size, side_min)
  return image_ops.fix_shape(image, *size)


def subtract_mean(images):
  """Return images, float32 [..., height, width, 3] of a known size, minus the mean colour."""
  # The mean is a whole image, as broadcasting three values takes four times as long.
  mean = np.broadcast_to(np.float32(MEAN_RGB), images.shape[-3:])
  return images - tf.constant(mean)


def _crop_for_train(image, size, side_min, side_max, *, seed):
  """Return a random crop of the image at a random scale, perhaps mirrored.

  The crop is chosen in pixels of the original image, so that nothing else of it need be
  decoded and resized; its scale and place are those of a crop of the resized image, rounded.
  """
  scale, *place, mirrored = tf.unstack(image_ops.draws(seed, 4))
  side = tf.floor(side_min + scale * (side_max + 1 - side_min))

  def choose_window(image_size):
    smaller = tf.cast(tf.reduce_min(image_size), tf.float32)
    extent = tf.maximum(1.0, tf.round(tf.constant(size, tf.float32) * smaller / side))
    return image_ops.random_window(image_size, tf.cast(extent, tf.int32),
                                   draw=tf.stack(place))

  image = image_ops.decode_window(image, choose_window, exact=False)
  image = image_ops.mirror_if(image, mirrored < 0.5)
  return image_ops.resize(image, *size)


def _crop_for_eval(image, size, side):
  """Return the central crop of the image."""
  image = image_ops.resize_smaller_side(image_ops.decode(image), side)
  offset = (tf.shape(image)[:2] - size) // 2
  return image_ops.crop(image, tf.concat([offset, size], axis=0))
