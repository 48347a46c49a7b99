"""Gradients of convolutions with small outputs, as matrix products where those are faster.

oneDNN sums the gradient of a filter along the rows of the images, in bfloat16 in pairs of
pixels; rows of 7 or 14 pixels leave its instructions half empty. In a matrix product the
pixels of all images are one row.
"""
import contextlib

from images.utils import device_utils
from images.utils.tf1 import tf

# The largest outputs, in pixels of an image, whose gradients are products: of 1 x 1 filters, and
# of others. By measurement, with batches of 16.
_LARGEST_POINTWISE, _LARGEST = 14 * 14, 8 * 8


def suited_to(dtype):
  """Return a context; the convolutions built in it have the gradients that suit `dtype` here.

  They are those of TensorFlow, of which a processor makes some faster in bfloat16.

  Args:
    dtype: what the convolutions compute in.
  """
  if dtype != tf.bfloat16 or device_utils.accelerator():
    return contextlib.nullcontext()
  return tf.get_default_graph().gradient_override_map({'Conv2D': 'Conv2DOfSmallOutputs'})


@tf.RegisterGradient('Conv2DOfSmallOutputs')
def _gradients(convolution, gradient):
  """Return the gradients of the images and of the filters of a Conv2D."""
  images, filters = convolution.inputs
  attributes = {name: convolution.get_attr(name) for name in (
      'strides', 'padding', 'explicit_paddings', 'dilations', 'data_format')}
  small = _is_small(images, filters, gradient, attributes)
  if small and _is_pointwise(filters) and attributes['strides'] == [1, 1, 1, 1]:
    of_images = _of_pixels(images, filters, gradient)
  else:
    of_images = tf.raw_ops.Conv2DBackpropInput(
        input_sizes=tf.shape(images), filter=filters, out_backprop=gradient, **attributes)
  if small:
    return of_images, _of_filters(images, filters, gradient, attributes)
  return of_images, tf.raw_ops.Conv2DBackpropFilter(
      input=images, filter_sizes=tf.shape(filters), out_backprop=gradient, **attributes)


def _is_small(images, filters, gradient, attributes):
  """Return whether gradients can be products, and are faster so."""
  _, height, width, _ = gradient.shape.as_list()
  largest = _LARGEST_POINTWISE if _is_pointwise(filters) else _LARGEST
  if None in (height, width) or height * width > largest or attributes['data_format'] != b'NHWC':
    return False
  in_groups = images.shape.as_list()[3] != filters.shape.as_list()[2]
  dilated = attributes['dilations'] != [1, 1, 1, 1]
  padded = attributes['padding'] != b'VALID'
  known = attributes['padding'] == b'SAME' and attributes['strides'] == [1, 1, 1, 1]
  return not (in_groups or dilated or padded and not known)


def _is_pointwise(filters):
  return filters.shape.as_list()[:2] == [1, 1]


def _of_pixels(images, filters, gradient):
  """Return the gradient of the images, where each pixel is convolved by itself."""
  product = tf.matmul(_flat(gradient), filters[0, 0], transpose_b=True)
  return tf.reshape(product, tf.shape(images))


def _of_filters(images, filters, gradient, attributes):
  """Return the gradient of the filters: for each of their positions a sum over all pixels."""
  rows, columns, _, _ = filters.shape.as_list()
  _, height, width, _ = gradient.shape.as_list()
  _, down, right, _ = attributes['strides']
  if attributes['padding'] == b'SAME':
    around = [((size - 1) // 2, size // 2) for size in (rows, columns)]
    images = tf.pad(images, [(0, 0), *around, (0, 0)])
  seen = [images[:, y:y + height * down:down, x:x + width * right:right]
          for y in range(rows) for x in range(columns)]
  products = [tf.matmul(_flat(part), _flat(gradient), transpose_a=True) for part in seen]
  return tf.reshape(tf.stack(products), filters.shape)


def _flat(tensor):
  """Return a tensor [batch, height, width, channels] as [pixels of all images, channels]."""
  return tf.reshape(tensor, [-1, tensor.shape[3]])
