"""Computes 3 x 3 convolutions with a quarter to a third of the multiplications.

After Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (1509.09308): a tile of
4 x 4 outputs Y sees 6 x 6 pixels d through the filter g, and

    Y = A^T ((G g G^T) * (B^T d B)) A,

with 36 multiplications for each pair of channels instead of 144; those by the constant matrices are
few in comparison. Over all tiles and channels, the element-wise product * becomes 36 matrix
products. B and A are applied to the rows of images and then to their columns, with a matrix product
for each.
"""
import collections
import math
import statistics

import numpy as np

from images.utils import device_utils
from images.utils.tf1 import tf

# For the interpolation points 0, 1, -1, 2, -2 and infinity.
_B_TRANSPOSED = np.array([
    [4, 0, -5, 0, 1, 0],
    [0, -4, -4, 1, 1, 0],
    [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [0, 4, 0, -5, 0, 1]], np.float32)
_G = np.array([
    [1 / 4, 0, 0],
    [-1 / 6, -1 / 6, -1 / 6],
    [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6],
    [1 / 24, -1 / 12, 1 / 6],
    [0, 0, 1]], np.float32)
_A = np.array([
    [1, 0, 0, 0],
    [1, 1, 1, 1],
    [1, -1, 1, -1],
    [1, 2, 4, 8],
    [1, -2, 4, -8],
    [0, 0, 0, 1]], np.float32)
_POINTS, _TILE = _A.shape

# The least sizes with which this is faster on a CPU (measured with batches of 16).
_Needs = collections.namedtuple('_Needs', [
    'channels',  # of images and outputs, as their harmonic mean
    'of_row',    # the same, for each row or column of an output
    'filled',    # the fraction of its tiles that an output fills
    'pixels',    # of an output
])
_FORWARD = _Needs(channels=108, of_row=3.75, filled=1 / 2, pixels=1)
_BACKWARD = {
    tf.float32: _Needs(channels=72, of_row=2.5, filled=1 / 2, pixels=1),
    # With a matrix unit it is never faster.
    tf.bfloat16: _Needs(channels=288, of_row=10, filled=4 / 5, pixels=12 * 12),
}
# In float32 with AVX2 only, where oneDNN's own gradients are slow.
_BACKWARD_OF_AVX2 = _Needs(channels=64, of_row=0.5, filled=1 / 2, pixels=1)


def is_faster(images, filters, size, *, forward=False):
  """Return whether gradients() is faster than TensorFlow's own on a CPU, without strides.

  Multiplying the tiles of larger images by the constant matrices takes longer, which more channels
  make up for. If outputs fill too little of their tiles, nothing is saved.

  Args:
    images: float32 or bfloat16 tensor [batch, height, width, channels]; others never are.
    filters: four integers, the shape of the filters.
    size: height and width of the outputs.
    forward: bool, whether convolution() has to be faster as well.
  """
  if images.dtype not in _BACKWARD or device_utils.has_matrix_unit(images.dtype):
    return False
  needs = _FORWARD if forward else _BACKWARD[images.dtype]
  if not forward and images.dtype == tf.float32 and device_utils.has_avx2_only():
    needs = _BACKWARD_OF_AVX2
  channels, pixels = statistics.harmonic_mean(filters[2:]), math.prod(size)
  in_tiles = math.prod(_TILE * tiles for tiles in _tiles(size))
  return (list(filters[:2]) == [3, 3]
          and pixels >= max(needs.pixels, needs.filled * in_tiles)
          and channels >= max(needs.channels, needs.of_row * max(size)))


@tf.custom_gradient
def convolution(images, filters):
  """Convolve with padding SAME and no strides.

  Args:
    images: float32 tensor [batch, height, width, channels]; only the batch may be unknown.
    filters: float32 tensor [3, 3, channels, depth].

  Returns:
    float32 tensor [batch, height, width, depth], which differs from sums in the usual order by
    some 1e-5 of its largest element.
  """
  seen, made = _at_sides(images.shape[1:3], images.shape[1:3], (1, 1))
  outputs = _from_points(tf.matmul(_to_points(images, *seen), _weights(filters)), *made)
  return outputs, lambda gradient: gradients(images, filters, gradient, (1, 1))


def gradients(images, filters, gradient, padding):
  """Return the gradients of a convolution without strides, as exact as convolution().

  Those of bfloat16 are computed in float32.

  Args:
    images: float32 or bfloat16 tensor [batch, height, width, channels]; only the batch may be
      unknown.
    filters: tensor of the same dtype, [3, 3, channels, depth].
    gradient: tensor of the same dtype, [batch, rows, columns, depth], of the outputs.
    padding: two integers, the rows of zeros above the images and the columns left of them.

  Returns:
    (gradient of the images, gradient of the filters), tensors like these.
  """
  seen, made = _at_sides(images.shape[1:3], gradient.shape[1:3], padding)
  # Otherwise their products are computed in the forward pass and take memory from then on.
  with tf.control_dependencies([gradient]):
    images, filters = tf.identity(images), tf.identity(filters)
  of_points = _to_points(gradient, *made)
  of_images = _from_points(tf.matmul(of_points, _weights(filters), transpose_b=True), *seen)
  of_weights = tf.matmul(_to_points(images, *seen), of_points, transpose_a=True)
  of_filters = tf.reshape(_on_both_sides(_G.T, of_weights), filters.shape)
  return tf.cast(of_images, images.dtype), tf.cast(of_filters, filters.dtype)


def _weights(filters):
  """Return G g G^T in float32, [points * points, channels, depth]."""
  weights = _on_both_sides(_G, tf.cast(filters, tf.float32))
  return tf.reshape(weights, [_POINTS**2, *filters.shape[2:]])


def _on_both_sides(matrix, tensor):
  """Return M X M^T for each square X along the first axes of `tensor`, in the same layout."""
  size = matrix.shape[1]
  if device_utils.has_avx2_only():
    # In two products, each of fewer rows, as they are far apart.
    net = tf.matmul(matrix, tf.reshape(tensor, [size, -1]))
    return tf.matmul(matrix, tf.reshape(net, [len(matrix), size, -1]))
  return tf.matmul(np.kron(matrix, matrix), tf.reshape(tensor, [size**2, -1]))


def _tiles(size):
  """Return how many tiles the rows, and the columns, of outputs take."""
  return [-(-side // _TILE) for side in size]


def _at_sides(inputs, outputs, padding):
  """Return (B^T, A) for all tiles, each for rows and for columns, as are the arguments."""
  tiles = _tiles(outputs)
  return ([_at_tiles(_B_TRANSPOSED, *each, -before) for *each, before in zip(
      tiles, inputs, padding)], [_at_tiles(_A, *each, 0) for each in zip(tiles, outputs)])


def _at_tiles(matrix, tiles, size, first):
  """Return `matrix` for each tile of a side, an array [points * tiles, size].

  For the first tile the columns of `matrix` act on the pixels from `first` on, and for each further
  tile on those a tile further.
  """
  all_tiles = np.zeros([_POINTS, tiles, size], np.float32)
  for tile in range(tiles):
    for pixel, column in enumerate(matrix.T, first + _TILE * tile):
      if 0 <= pixel < size:
        all_tiles[:, tile, pixel] = column
  return all_tiles.reshape([-1, size])


def _to_points(pixels, down, across):
  """Return pixels [batch, height, width, channels], multiplied by the matrices for all tiles.

  The result is float32 [points * points, tiles * batch, channels].
  """
  pixels = tf.cast(pixels, tf.float32)
  width, channels = pixels.shape[2:]
  tiles = [len(matrix) // _POINTS for matrix in (down, across)]
  net = tf.matmul(down, tf.reshape(pixels, [-1, down.shape[1], width * channels]))
  if device_utils.has_avx2_only():
    # Many products whose rows are adjacent, instead of few whose rows are far apart.
    net = tf.matmul(across, tf.reshape(net, [-1, width, channels]))
    net = tf.reshape(net, [-1, _POINTS, tiles[0], _POINTS, tiles[1], channels])
    net = tf.transpose(net, [1, 3, 0, 2, 4, 5])
  else:
    net = tf.reshape(net, [-1, _POINTS, tiles[0], width, channels])
    net = tf.reshape(tf.transpose(net, [1, 3, 2, 0, 4]), [_POINTS, width, -1])
    net = tf.matmul(across, net)
  return tf.reshape(net, [_POINTS**2, -1, channels])


def _from_points(net, down, across):
  """Return `net`, of the shape that _to_points() returns, multiplied by the transposed matrices."""
  width, channels = across.shape[1], net.shape[2]
  tiles = [len(matrix) // _POINTS for matrix in (down, across)]
  if device_utils.has_avx2_only():
    net = tf.reshape(net, [_POINTS, _POINTS, -1, *tiles, channels])
    net = tf.reshape(tf.transpose(net, [2, 0, 3, 1, 4, 5]), [-1, len(across), channels])
    net = tf.matmul(across, net, transpose_a=True)
  else:
    net = tf.matmul(across, tf.reshape(net, [_POINTS, len(across), -1]), transpose_a=True)
    net = tf.reshape(net, [_POINTS, width, tiles[0], -1, channels])
    net = tf.transpose(net, [3, 0, 2, 1, 4])
  net = tf.reshape(net, [-1, len(down), width * channels])
  return tf.reshape(tf.matmul(down, net, transpose_a=True), [-1, down.shape[1], width, channels])
