"""Batch norm in the way that is fastest here, and the layer that all its ways are."""
from images.models import model_utils
from images.utils import device_utils
from images.utils.tf1 import slim, tf

# From how many elements batch norm is faster in blocks on a CPU (measured).
_MIN_ELEMENTS = 2**19


def batch_norm(net, **arguments):
  """Normalize as slim.batch_norm() does with its arg scope, in the way that is fastest here.

  A processor takes two to three times as long in bfloat16 unless the channels are a multiple of 16,
  where float32 is faster; and in training up to twice as long for large batches as for many
  images of 2 x 2 pixels, whose statistics are the same; with AVX2, where channels are a multiple of
  512, half as long for images of one pixel again. On a GPU nothing is changed.

  Args:
    net: tensor [batch, height, width, channels].
    **arguments: of slim.batch_norm().

  Returns:
    Tensor like `net`.
  """
  if device_utils.accelerator():
    return _batch_norm(net, **arguments)
  channels = net.shape[3]
  is_slow = net.dtype == tf.bfloat16 and channels % 16
  numbers = net.shape.num_elements() or 0  # None for a size that is not known.
  side = 1 if device_utils.has_avx2_only() and channels % 512 == 0 else 2
  in_blocks = (numbers >= _MIN_ELEMENTS and numbers // channels % side**2 == 0
               and model_utils.uses_batch_statistics(arguments))
  blocks = tf.reshape(net, [-1, side, side, channels]) if in_blocks else net
  normalized = _batch_norm(tf.cast(blocks, tf.float32) if is_slow else blocks, **arguments)
  normalized = tf.cast(normalized, net.dtype)
  return tf.reshape(normalized, net.shape) if in_blocks else normalized


def _batch_norm(net, **arguments):
  """Normalize as slim.batch_norm() does, without Keras where its arguments allow that.

  The layer of Keras takes twice as long to build, and networks have hundreds.
  """
  arguments = {**model_utils.scope_of(slim.batch_norm), **arguments}
  if not is_plain(arguments) or net.dtype not in (tf.float32, tf.float16, tf.bfloat16):
    return slim.batch_norm(net, **arguments)

  def normalize(gamma, beta, averages, *, epsilon, is_training):
    return tf.nn.fused_batch_norm(
        net, gamma, beta, *(() if is_training else averages), epsilon=epsilon,
        is_training=is_training)

  return layer(normalize, net, net.shape[3], **arguments)


def is_plain(arguments):
  """Return whether layer() takes all of `arguments`, a dict of those of slim.batch_norm()."""
  known = {'scope', 'scale', 'decay', 'epsilon', 'is_training', 'activation_fn'}
  return (arguments.keys() <= known
          and isinstance(arguments.get('is_training', True), bool))


def layer(normalize, inputs, depth, *, scope=None, scale=False, decay=0.999, epsilon=0.001,
          is_training=True, activation_fn=None):
  """Return what `normalize` makes, with the variables and the updates of slim.batch_norm().

  Args:
    normalize: function (gamma, beta, (moving mean, moving variance), epsilon, is_training) to
      (outputs, mean [depth] of the batch, its variance [depth] with Bessel's correction).
    inputs: tensor, what the layer sees.
    depth: integer, channels of the outputs.
    The others: as of slim.batch_norm(), whose arg scope is not looked at.
  """
  def variable(name, initializer, *, trainable):
    return slim.model_variable(name, [depth], initializer=initializer, trainable=trainable)

  ones, zeros = tf.ones_initializer(), tf.zeros_initializer()
  with tf.variable_scope(scope, 'BatchNorm', [inputs]):
    gamma = variable('gamma', ones, trainable=True) if scale else tf.ones([depth])
    beta = variable('beta', zeros, trainable=True)
    averages = [variable('moving_mean', zeros, trainable=False),
                variable('moving_variance', ones, trainable=False)]
    net, *statistics = normalize(gamma, beta, averages, epsilon=epsilon, is_training=is_training)
    if is_training:
      for average, value in zip(averages, statistics):
        update = average.assign_sub((average - value) * (1 - decay), read_value=False)
        tf.add_to_collection(tf.GraphKeys.UPDATE_OPS, update)
    return activation_fn(net) if activation_fn else net
