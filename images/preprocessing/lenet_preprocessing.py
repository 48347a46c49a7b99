"""LeNet preprocessing: pixels as they are, cropped or padded, scaled to about [-1, 1]."""
from images.preprocessing import image_ops
from images.utils.tf1 import tf


def preprocess_image(image, output_height, output_width, is_training=False, *, seed=None):
  """Return the image in the form that the networks for MNIST expect.

  train_image_classifiers.py calls its two halves, crop_or_pad() and scale(),
  separately, see preprocessing_factory.halves_map.

  Args:
    image: [height, width, 1 or 3] in 0 to 255, or a scalar string of encoded bytes,
      which decode to 3 channels.
    output_height, output_width: ints, pixels. The image is not resized to them: its
      centre is cropped, or zeros are added evenly around it.
    is_training, seed: unused, as nothing is random; every preprocessing takes them.

  Returns:
    float32 [output_height, output_width, 1 or 3] in [-1, 0.9921875], zeros becoming -1.

  Raises:
    tf.errors.InvalidArgumentError: at run time, the bytes are no image.
  """
  return scale(crop_or_pad(image, output_height, output_width, is_training, seed=seed))


def crop_or_pad(image, output_height, output_width, is_training=False, *, seed=None):
  """Return the image before scaling: 0 to 255, in its own dtype, or uint8 if it is encoded."""
  del is_training, seed
  size = (output_height, output_width)
  image = image_ops.decode(image, keep_grey=True)
  image = tf.image.resize_image_with_crop_or_pad(image, *size)
  return image_ops.fix_shape(image, *size, image.shape[-1])


def scale(images):
  """Return `images` scaled to float32 such that 0 becomes -1 and 128 becomes 0."""
  return (tf.cast(images, tf.float32) - 128.0) / 128.0
