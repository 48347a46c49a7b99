"""LeNet preprocessing: pixels as they are, cropped or padded, scaled to about [-1, 1]."""
from images.preprocessing import image_ops
from images.utils.tf1 import tf


def preprocess_image(image, output_height, output_width, is_training=False, *, seed=None):
  """Return the image as the networks for MNIST are fed.

  The script runs its two halves, below, apart: preprocessing_factory.halves_map names them.

  Args:
    image: [height, width, 1 or 3] in 0 to 255, or a scalar string of encoded bytes,
      which decode to 3 channels.
    output_height, output_width: ints, pixels. The image is not resized to them: its
      centre is cropped, or zeros are added evenly around it.
    is_training, seed: without effect, as nothing is random; every preprocessing
      takes them.

  Returns:
    float32 [output_height, output_width, 1 or 3] in [-1, 0.9921875], zeros at -1.

  Raises:
    tf.errors.InvalidArgumentError: at run time, the bytes are no image.
  """
  return scale(crop_or_pad(image, output_height, output_width, is_training, seed=seed))


def crop_or_pad(image, output_height, output_width, is_training=False, *, seed=None):
  """Return preprocess_image() before it scales: in 0 to 255, uint8 unless `image` is not."""
  del is_training, seed
  size = (output_height, output_width)
  image = image_ops.decode(image, keep_grey=True)
  image = tf.image.resize_image_with_crop_or_pad(image, *size)
  return image_ops.fix_shape(image, *size, image.shape[-1])


def scale(images):
  """Return float32 of the shape of `images`, of which 0 becomes -1 and 128 becomes 0."""
  return (tf.cast(images, tf.float32) - 128.0) / 128.0
