"""Gradients that are faster on a CPU than TensorFlow's own.

Convolutions, where oneDNN is slow:
  1 x 1 filters, and filters as large as the image: matrix products, see product_utils.
  3 x 3 filters in float32, and of many channels in bfloat16 without a matrix unit: fewer
    multiplications, see winograd_utils.
  Other filters in float32 with AVX2 but no AVX-512, and in bfloat16 for small outputs: a sum of
    matrix products, one for each position of the filter.
  Other filters in bfloat16, for outputs of some 9 to 17 rows and not too many channels: a
    convolution in which batch and channels change places.
  Depthwise filters in bfloat16 with strides or larger than 3 x 3: in float32.
Rectifiers in bfloat16: on the bits, see rectifier_utils.

How much faster each of them is can be found in README.md, "Settings and layers in use".
"""
import collections
import contextlib
import math
import statistics
import sys

from images.utils import device_utils, product_utils, rectifier_utils, winograd_utils
from images.utils.tf1 import tf

# Up to how many pixels of the output each method is used (measured with batches of 16):
_Largest = collections.namedtuple('_Largest', [
    'images',     # gradient of the images as a product
    'narrowed',   # the same where the output has no more channels than the images
    'filters',    # gradient of the filters as a product
    'sums',       # gradient of other filters as a sum over the filter's positions
    'strided',    # the same with strides
    'exchanged',  # gradient of other filters with batch and channels exchanged, or as sums
])
_ANY, _FEW = sys.maxsize, product_utils.MAX_PIXELS
_LARGEST = {
    tf.float32: _Largest(images=_FEW, narrowed=_FEW, filters=_ANY, sums=0, strided=0, exchanged=0),
    tf.bfloat16: _Largest(images=14 * 14, narrowed=14 * 14, filters=14 * 14, sums=8 * 8,
                          strided=8 * 8, exchanged=17 * 17),
}
# With a matrix unit for the dtype.
_LARGEST_OF_AMX = _Largest(images=14 * 14, narrowed=14 * 14, filters=_ANY, sums=14 * 14,
                           strided=17 * 17, exchanged=0)
# In float32 with AVX2 only, where oneDNN is slow at gradients of filters.
_LARGEST_OF_AVX2 = _Largest(images=_FEW, narrowed=_ANY, filters=_ANY, sums=17 * 17,
                            strided=36 * 36, exchanged=0)
_NONE = _Largest(0, 0, 0, 0, 0, 0)
# From how many channels for each row of the output sums are faster than exchanged convolutions.
_DEEP = 20


def fast_gradients():
  """Return a context manager; operations built in it get the gradients that are fastest here.

  They equal TensorFlow's except for the order and precision of sums, and that a rectifier in
  bfloat16 that is off passes on zero even for an infinite gradient. On a GPU nothing changes.
  """
  if device_utils.accelerator():
    return contextlib.nullcontext()
  return tf.get_default_graph().gradient_override_map({
      'Conv2D': 'FasterConv2D', 'Relu': rectifier_utils.GRADIENT,
      'DepthwiseConv2dNative': 'DepthwiseConv2dInFloat32'})


@tf.RegisterGradient('FasterConv2D')
def _gradients(convolution, gradient):
  """Return the gradients of the images and of the filters of a Conv2D."""
  images, filters = convolution.inputs
  attributes = _attributes(convolution)
  pixels = _pixels(images, filters, gradient, attributes)
  if (pixels < math.inf and not _has_strides(attributes)
      and not _is_product(images, filters, attributes)
      and winograd_utils.is_faster(images, filters.shape.as_list(), gradient.shape[1:3])):
    padding = [before for before, _ in _around(images, filters, gradient, attributes['strides'])]
    return winograd_utils.gradients(images, filters, gradient, padding)
  return (_gradient_of_images(images, filters, gradient, attributes, pixels),
          _gradient_of_filters(images, filters, gradient, attributes, pixels))


def _largest(dtype):
  if device_utils.has_matrix_unit(dtype):
    return _LARGEST_OF_AMX
  if dtype == tf.float32 and device_utils.has_avx2_only():
    return _LARGEST_OF_AVX2
  return _LARGEST.get(dtype, _NONE)


def _gradient_of_images(images, filters, gradient, attributes, pixels):
  largest, (channels, depth) = _largest(gradient.dtype), filters.shape.as_list()[2:]
  if _is_product(images, filters, attributes) and pixels <= (
      largest.images if channels < depth else largest.narrowed):
    return product_utils.gradient_of_images(images, filters, gradient)
  return tf.raw_ops.Conv2DBackpropInput(
      input_sizes=tf.shape(images), filter=filters, out_backprop=gradient, **attributes)


def _gradient_of_filters(images, filters, gradient, attributes, pixels):
  largest, strides = _largest(gradient.dtype), attributes['strides']
  if _is_product(images, filters, attributes):
    if pixels <= largest.filters:
      return product_utils.gradient_of_filters(images, filters, gradient)
  elif pixels <= (largest.strided if _has_strides(attributes) else largest.sums):
    return _sums_of_filters(images, filters, gradient, strides)
  elif pixels <= largest.exchanged:
    of_filters = _sums_of_filters if _is_deep(filters, gradient) else _exchanged_of_filters
    return of_filters(images, filters, gradient, strides)
  return tf.raw_ops.Conv2DBackpropFilter(
      input=images, filter_sizes=tf.shape(filters), out_backprop=gradient, **attributes)


def _attributes(convolution):
  return {name: convolution.get_attr(name) for name in (
      'strides', 'padding', 'explicit_paddings', 'dilations', 'data_format')}


def _pixels(images, filters, gradient, attributes):
  """Return how many pixels an output has; infinity if these methods do not support its kind."""
  plain = {'dilations': [1, 1, 1, 1], 'data_format': b'NHWC'}
  if (any(attributes[name] != value for name, value in plain.items())
      or attributes['padding'] not in (b'VALID', b'SAME')
      or images.shape[3] != filters.shape[2]  # A grouped convolution.
      or not images.shape[1:3].is_fully_defined()):
    return math.inf
  return gradient.shape[1:3].num_elements() or math.inf


def _is_product(images, filters, attributes):
  """Return whether a convolution sees each pixel, or the whole of an image, exactly once."""
  size = filters.shape.as_list()[:2]
  is_whole = attributes['padding'] == b'VALID' and size == images.shape.as_list()[1:3]
  return is_whole or size == [1, 1] and not _has_strides(attributes)


def _has_strides(attributes):
  return attributes['strides'] != [1, 1, 1, 1]


def _is_deep(filters, gradient):
  return statistics.harmonic_mean(filters.shape[2:]) >= _DEEP * max(gradient.shape[1:3])


def _sums_of_filters(images, filters, gradient, strides):
  """Return the gradient of the filters, for each of their positions as a sum over all pixels.

  The pixels that a position sees are strides apart. They become adjacent when the place within a
  stride is made an axis of its own.
  """
  rows, columns, channels, depth = filters.shape.as_list()
  height, width = gradient.shape.as_list()[1:3]
  down, right = strides[1:3]
  strides_down, strides_right = height + (rows - 1) // down, width + (columns - 1) // right
  images = _padded_to(strides_down * down, strides_right * right, images,
                      _around(images, filters, gradient, strides))
  images = tf.reshape(images, [-1, strides_down, down, strides_right, right * channels])
  seen = [images[:, y // down:y // down + height, y % down, x // right:x // right + width,
                 x % right * channels:(x % right + 1) * channels]
          for y in range(rows) for x in range(columns)]
  gradient = product_utils.rows(gradient, depth)
  products = [tf.matmul(product_utils.rows(pixels, channels), gradient, transpose_a=True)
              for pixels in seen]
  return tf.reshape(tf.stack(products), filters.shape)


def _padded_to(height, width, images, around):
  """Return images padded or cropped to a height and width, with the zeros `around` before them."""
  above, left = [before for before, _ in around]
  images = images[:, :height - above, :width - left]
  below, right = height - above - images.shape[1], width - left - images.shape[2]
  return tf.pad(images, [(0, 0), (above, below), (left, right), (0, 0)])


def _exchanged_of_filters(images, filters, gradient, strides):
  """Return the gradient of the filters: the images, convolved with the gradient of the outputs.

  In that convolution the channels are the batch, the batch is the channels, and the strides are
  dilations.
  """
  rows, columns = filters.shape.as_list()[:2]
  # oneDNN takes twice as long for outputs, here the filters, of a single column.
  sides = [1, 2] if rows <= columns else [2, 1]
  around = _around(images, filters, gradient, strides)
  # Without the rows and columns that no filter has seen.
  seen = [size + min(after, 0) for size, (_, after) in zip(images.shape[1:3], around)]
  exchanged = tf.nn.conv2d(
      tf.transpose(images[:, :seen[0], :seen[1]], [3, *sides, 0]),
      tf.transpose(gradient, [*sides, 0, 3]), strides=1,
      dilations=[strides[side] for side in sides],
      padding=[(0, 0), *[(before, max(after, 0)) for before, after in (
          around[side - 1] for side in sides)], (0, 0)])
  return tf.transpose(exchanged, [*sides, 0, 3])


def _around(images, filters, gradient, strides):
  """Return how many zeros padding puts before and after the rows and the columns of images.

  A negative number after them tells how many of the last rows or columns no filter sees.
  """
  more = [(outputs - 1) * stride + size - inputs for outputs, stride, size, inputs in zip(
      gradient.shape[1:3], strides[1:3], filters.shape[:2], images.shape[1:3])]
  return [(max(total, 0) // 2, total - max(total, 0) // 2) for total in more]


@tf.RegisterGradient('DepthwiseConv2dInFloat32')
def _depthwise_gradients(convolution, gradient):
  """Return the gradients of the images and of the filters of a DepthwiseConv2dNative."""
  images, filters = convolution.inputs
  attributes = _attributes(convolution)
  is_large = max(filters.shape.as_list()[:2]) > 3
  of_images = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
      input_sizes=tf.shape(images), **attributes,
      **_in_float32(_has_strides(attributes), filter=filters, out_backprop=gradient))
  of_filters = tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
      filter_sizes=tf.shape(filters), **attributes,
      **_in_float32(is_large, input=images, out_backprop=gradient))
  return tf.cast(of_images, gradient.dtype), tf.cast(of_filters, gradient.dtype)


def _in_float32(is_wanted, **tensors):
  """Return the dict `tensors`, if `is_wanted` with those of bfloat16 cast to float32."""
  return {name: tf.cast(tensor, tf.float32) if is_wanted and tensor.dtype == tf.bfloat16 else tensor
          for name, tensor in tensors.items()}
