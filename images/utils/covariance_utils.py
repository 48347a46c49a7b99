"""Batch-normalizes 1 x 1 convolutions of few channels without their unnormalized outputs.

For each pixel u such a convolution computes x = u W. Over all pixels, x has the mean mean(u) W, and
its variance is the diagonal of W^T cov(u) W. The normalized output is therefore a convolution too,

    y = u (W a) + beta - mean(u) W a,    a = gamma / sqrt(variance + epsilon),

and x is never computed. A CPU takes longer to read and write many channels several times than to
multiply few with each other, so this saves most of the time of batch norm, and its memory.
"""
from images.utils import product_utils
from images.utils.tf1 import tf

# From how many output elements this is faster on a CPU (measured with batches of 16).
_MIN_ELEMENTS = 2**19


def is_faster(inputs, depth):
  """Return whether convolution() is faster on a CPU in training than separate batch norm.

  The covariance and its gradient take multiplications. With few channels, these take less time than
  the reading and writing of memory that is saved.

  Args:
    inputs: tensor [batch, height, width, channels].
    depth: integer, channels of the output.
  """
  channels, pixels = inputs.shape[3], inputs.shape[:3].num_elements() or 0
  return (inputs.dtype == tf.float32 and pixels * depth >= _MIN_ELEMENTS
          and depth >= channels * max(3, channels / 40))


def convolution(inputs, filters, gamma, beta, epsilon):
  """Convolve and normalize with the statistics of the batch.

  Outputs differ from those of separate batch norm by some 1e-6 of the largest if the means of input
  channels are no larger than their standard deviations, and by some 1e-4 if they are ten times as
  large.

  Args:
    inputs: float32 tensor [batch, height, width, channels] of static shape.
    filters: float32 tensor [1, 1, channels, depth].
    gamma: float32 tensor [depth], the factor of the normalized values.
    beta: float32 tensor [depth], added to them.
    epsilon: float, added to the variance.

  Returns:
    (outputs [batch, height, width, depth], mean [depth] and variance [depth] of the convolution).
  """
  weights = tf.reshape(filters, filters.shape[2:])
  mean_of_inputs, covariance = _moments(inputs)
  mean = tf.matmul(mean_of_inputs, weights)[0]
  # Rounding may make the variance of a constant channel negative.
  variance = tf.nn.relu(tf.reduce_sum(weights * tf.matmul(covariance, weights), 0))
  factor = gamma * tf.rsqrt(variance + epsilon)
  return _affine(inputs, filters * factor, beta - mean * factor), mean, variance


@tf.custom_gradient
def _moments(inputs):
  """Return the mean [1, channels] of all pixels and their covariance [channels, channels]."""
  pixels = _pixels(inputs)
  count = pixels.shape[0]
  mean = _sum(pixels) / count
  covariance = (tf.matmul(pixels, pixels, transpose_a=True) / count
                - tf.matmul(mean, mean, transpose_a=True))

  def gradient(of_mean, of_covariance):
    # For each pixel u this is (u - mean) S + of_mean / count, with the factors S.
    factors = (of_covariance + tf.transpose(of_covariance)) / count
    return _convolve(inputs, factors[None, None],
                     (of_mean / count - tf.matmul(mean, factors))[0])

  return (mean, covariance), gradient


@tf.custom_gradient
def _affine(inputs, filters, bias):
  """Return the convolution of inputs with filters, plus bias."""
  def gradient(of_outputs):
    of_inputs = tf.raw_ops.Conv2DBackpropInput(
        input_sizes=tf.shape(inputs), filter=filters, out_backprop=of_outputs,
        strides=[1, 1, 1, 1], padding='VALID')
    of_filters = product_utils.gradient_of_filters(inputs, filters, of_outputs)
    return of_inputs, of_filters, _sum(_pixels(of_outputs))[0]

  return _convolve(inputs, filters, bias), gradient


def _convolve(inputs, filters, bias):
  """Return a convolution with a bias, which oneDNN adds while it convolves."""
  return tf.nn.bias_add(tf.nn.conv2d(inputs, filters, 1, 'VALID'), bias)


def _pixels(images):
  return tf.reshape(images, [-1, images.shape[3]])


def _sum(pixels):
  """Return the sum of all rows, [1, channels], as a product: half the time of tf.reduce_sum()."""
  return tf.matmul(tf.ones([1, pixels.shape[0]]), pixels)
