"""Gradients of convolutions as matrix products, where a processor is faster with these.

oneDNN takes up to thirty times as long for those of a convolution with outputs of one pixel, as in
the wide layers of AlexNet and VGG; in bfloat16 up to half as long again where rows have 7 or 14
pixels, which it takes in pairs. In a product the pixels of all images are one row.
"""
import contextlib

from images.utils import device_utils
from images.utils.tf1 import tf

# The largest outputs, in pixels of an image, that have gradients as products: where the
# convolution is one product itself, and where the gradient of its filters is a sum over pixels
# for each of their positions. By measurement, with batches of 16.
_LARGEST = {tf.float32: (1, 0), tf.bfloat16: (14 * 14, 8 * 8)}


def fast_gradients():
  """Return a context; convolutions built in it have the gradients that are fastest here.

  They are those of TensorFlow, but for the order of sums. On a GPU nothing is changed.
  """
  if device_utils.accelerator():
    return contextlib.nullcontext()
  return tf.get_default_graph().gradient_override_map({'Conv2D': 'Conv2DOfSmallOutputs'})


@tf.RegisterGradient('Conv2DOfSmallOutputs')
def _gradients(convolution, gradient):
  """Return the gradients of the images and of the filters of a Conv2D."""
  images, filters = convolution.inputs
  attributes = {name: convolution.get_attr(name) for name in (
      'strides', 'padding', 'explicit_paddings', 'dilations', 'data_format')}
  pixels = _pixels(images, filters, gradient, attributes)
  as_product, as_sums = _LARGEST.get(gradient.dtype, (0, 0))
  if pixels <= as_product and _is_product(images, filters, attributes['padding']):
    return _of_product(images, filters, gradient)
  of_images = tf.raw_ops.Conv2DBackpropInput(
      input_sizes=tf.shape(images), filter=filters, out_backprop=gradient, **attributes)
  if pixels <= as_sums:
    return of_images, _of_filters(images, filters, gradient, attributes['padding'])
  return of_images, tf.raw_ops.Conv2DBackpropFilter(
      input=images, filter_sizes=tf.shape(filters), out_backprop=gradient, **attributes)


def _pixels(images, filters, gradient, attributes):
  """Return how many pixels an output has; infinity for a kind that the products do not know."""
  plain = {'strides': [1, 1, 1, 1], 'dilations': [1, 1, 1, 1], 'data_format': b'NHWC'}
  if (any(attributes[name] != value for name, value in plain.items())
      or attributes['padding'] not in (b'VALID', b'SAME')
      or images.shape[3] != filters.shape[2]):  # In groups.
    return float('inf')
  return gradient.shape[1:3].num_elements() or float('inf')


def _is_product(images, filters, padding):
  """Return whether a convolution sees each pixel, or all of an image, once."""
  size = filters.shape.as_list()[:2]
  return size == [1, 1] or padding == b'VALID' and size == images.shape.as_list()[1:3]


def _of_product(images, filters, gradient):
  """Return both gradients of a convolution that is one matrix product."""
  gradient = tf.reshape(gradient, [-1, filters.shape[3]])
  matrix = tf.reshape(filters, [-1, filters.shape[3]])
  seen = tf.reshape(images, [-1, matrix.shape[0]])
  of_images = tf.matmul(gradient, matrix, transpose_b=True)
  of_filters = tf.matmul(seen, gradient, transpose_a=True)
  return tf.reshape(of_images, tf.shape(images)), tf.reshape(of_filters, filters.shape)


def _of_filters(images, filters, gradient, padding):
  """Return the gradient of the filters: for each of their positions a sum over all pixels."""
  rows, columns, channels, depth = filters.shape.as_list()
  height, width = gradient.shape.as_list()[1:3]
  if padding == b'SAME':
    around = [((size - 1) // 2, size // 2) for size in (rows, columns)]
    images = tf.pad(images, [(0, 0), *around, (0, 0)])
  gradient = tf.reshape(gradient, [-1, depth])
  seen = [tf.reshape(images[:, y:y + height, x:x + width], [-1, channels])
          for y in range(rows) for x in range(columns)]
  products = [tf.matmul(pixels, gradient, transpose_a=True) for pixels in seen]
  return tf.reshape(tf.stack(products), filters.shape)
