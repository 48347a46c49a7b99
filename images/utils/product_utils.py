"""Matrix products for convolutions with filters of one pixel or as large as the images.

The rows of one matrix are the pixels of all images, or the images. Filters as large as the images
have only their gradients here.
"""
from images.utils import device_utils
from images.utils.tf1 import tf

# Up to how many pixels of the output this is faster on a CPU (measured with batches of 16).
MAX_PIXELS = 8 * 8


def is_faster(images, filters):
  """Return whether convolution() is faster than TensorFlow's own on a CPU.

  Args:
    images: tensor [batch, height, width, channels].
    filters: four integers, the shape of the filters.
  """
  return (images.dtype == tf.float32 and list(filters[:2]) == [1, 1]
          and images.shape[1:3].num_elements() <= MAX_PIXELS)


@tf.custom_gradient
def convolution(images, filters):
  """Convolve with filters of one pixel and no strides.

  Args:
    images: tensor [batch, height, width, channels]; only the batch may be unknown.
    filters: tensor [1, 1, channels, depth].

  Returns:
    Tensor [batch, height, width, depth].
  """
  channels, depth = filters.shape[2:]
  product = tf.matmul(rows(images, channels), rows(filters, depth))
  outputs = tf.reshape(product, [-1, *images.shape[1:3], depth])
  return outputs, lambda gradient: (gradient_of_images(images, filters, gradient),
                                    gradient_of_filters(images, filters, gradient))


def gradient_of_images(images, filters, gradient):
  """Return the gradient of the images, a tensor like these, of a convolution that is a product.

  Args:
    images: tensor [batch, height, width, channels].
    filters: tensor [rows, columns, channels, depth]; of one pixel, or as large as the images.
    gradient: tensor [batch, output height, output width, depth], of the outputs.
  """
  depth = filters.shape[3]
  product = tf.matmul(rows(gradient, depth), rows(filters, depth), transpose_b=True)
  return tf.reshape(product, tf.shape(images))


def gradient_of_filters(images, filters, gradient):
  """Return the gradient of the filters, a tensor like these; see gradient_of_images()."""
  if _has_colliding_rows(filters, gradient):
    return tf.raw_ops.Conv2DBackpropFilter(
        input=images, filter_sizes=filters.shape, out_backprop=gradient, strides=[1, 1, 1, 1],
        padding='VALID')
  channels, depth = filters.shape[:3].num_elements(), filters.shape[3]
  factors = rows(images, channels), rows(gradient, depth)
  # In float32 a product with fewer rows than columns is up to a quarter faster, except if outputs
  # have only one pixel.
  if images.dtype == tf.float32 and channels > depth and gradient.shape[1:3] != [1, 1]:
    product = tf.transpose(tf.matmul(*reversed(factors), transpose_a=True))
  else:
    product = tf.matmul(*factors, transpose_a=True)
  return tf.reshape(product, filters.shape)


def _has_colliding_rows(filters, gradient):
  """Return whether TensorFlow's own gradient of 1 x 1 filters is faster than a matrix product.

  It is if the rows of one factor are a multiple of 4 KB long and oneDNN does not pack them, as the
  rows of the other factor are too short.
  """
  few, many = sorted(filters.shape.as_list()[2:])
  return (device_utils.has_avx2_only() and filters.shape[:2] == [1, 1] != gradient.shape[1:3]
          and many % 1024 == 0 and few < 384)


def rows(tensor, length):
  """Return `tensor` as a matrix with rows of `length` elements."""
  return tf.reshape(tensor, [-1, length])
