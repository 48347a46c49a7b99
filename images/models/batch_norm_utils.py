"""Batch norm by the fastest method for the device, and the layer that all methods share."""
from images.models import model_utils
from images.utils import device_utils
from images.utils.tf1 import slim, tf

# From this many elements, batch norm in blocks is faster on a CPU (measured).
_MIN_ELEMENTS = 2**19


def batch_norm(net, **arguments):
  """Normalize as slim.batch_norm() with its arg scope does, by the fastest method for the device.

  On a CPU, bfloat16 takes two to three times as long if the channels are not a multiple of 16; it
  is then normalized in float32, which is faster. In training, large batches take up to twice as
  long as the same pixels arranged as images of 2 x 2 pixels, which have the same statistics; large
  batches are therefore reshaped to such images. With AVX2 but not AVX-512, and if the channels are
  a multiple of 512, images of one pixel take half the time, and are used instead. On a GPU nothing
  changes.

  Args:
    net: tensor [batch, height, width, channels].
    **arguments: arguments of slim.batch_norm().

  Returns:
    Tensor of the shape and dtype of `net`.
  """
  if device_utils.accelerator():
    return _batch_norm(net, **arguments)
  channels = net.shape[3]
  is_slow = net.dtype == tf.bfloat16 and channels % 16
  numbers = net.shape.num_elements() or 0  # None if a size is unknown.
  side = 1 if device_utils.has_avx2_only() and channels % 512 == 0 else 2
  in_blocks = (numbers >= _MIN_ELEMENTS and numbers // channels % side**2 == 0
               and model_utils.uses_batch_statistics(arguments))
  blocks = tf.reshape(net, [-1, side, side, channels]) if in_blocks else net
  normalized = _batch_norm(tf.cast(blocks, tf.float32) if is_slow else blocks, **arguments)
  normalized = tf.cast(normalized, net.dtype)
  return tf.reshape(normalized, net.shape) if in_blocks else normalized


def _batch_norm(net, **arguments):
  """Normalize as slim.batch_norm() does, without its Keras layer if the arguments allow that.

  The Keras layer takes twice as long to build, and networks have hundreds of them.
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
  """Return whether layer() supports `arguments`, a dict of arguments of slim.batch_norm()."""
  known = {'scope', 'scale', 'decay', 'epsilon', 'is_training', 'activation_fn'}
  return (arguments.keys() <= known
          and isinstance(arguments.get('is_training', True), bool))


def layer(normalize, inputs, depth, *, scope=None, scale=False, decay=0.999, epsilon=0.001,
          is_training=True, activation_fn=None):
  """Build a layer that `normalize` computes, with the variables and updates of slim.batch_norm().

  Args:
    normalize: function (gamma, beta, (moving mean, moving variance), epsilon, is_training) that
      returns (outputs, mean [depth] of the batch, variance [depth] of the batch with Bessel's
      correction).
    inputs: tensor, the input of the layer, for the variable scope.
    depth: integer, channels of the outputs.
    The others: see slim.batch_norm(); its arg scope has no effect here.

  Returns:
    The outputs, after `activation_fn` if there is one.
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
