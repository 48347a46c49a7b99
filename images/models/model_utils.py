"""What the networks share: image sizes and their check, dropout, rectifiers and pooling."""
import functools
import zlib

from images.utils import device_utils, rectifier_utils
from images.utils.tf1 import slim, tf


def network(*, default_image_size, smallest_image_size=1):
  """Decorate a network function: give it its image sizes and check its images.

  Args:
    default_image_size: integer, height and width in pixels that the published
      weights were trained at; becomes an attribute of the function.
    smallest_image_size: integer, the smallest height and width in pixels that
      leaves every layer at least one position; also an attribute.

  Returns:
    A decorator; the decorated function raises ValueError if its images are not
    a tensor [batch, height, width, channels] or are too small.
  """
  def decorate(function):
    @functools.wraps(function)
    def checked(inputs, *args, **kwargs):
      _check_images(inputs, smallest_image_size, checked.__name__)
      return function(inputs, *args, **kwargs)

    checked.default_image_size = default_image_size
    checked.smallest_image_size = smallest_image_size
    return checked
  return decorate


def _check_images(inputs, smallest, name):
  """Raise ValueError unless `inputs` can be images of at least `smallest` pixels."""
  if inputs.shape.rank != 4:
    raise ValueError(f'inputs of {name} must be [batch, height, width, channels], '
                     f'got the shape {inputs.shape}')
  height, width = inputs.shape.as_list()[1:3]
  if any(size is not None and size < smallest for size in (height, width)):
    raise ValueError(f'inputs of {name} are {height} x {width} pixels, too small: the '
                     f'smallest size is {smallest} x {smallest} (--train_image_size={smallest})')


def known_size(net, layer):
  """Return [height, width] of `net`, on which the shape of the layer's weights depends.

  Args:
    net: tensor [batch, height, width, channels].
    layer: string, the layer that needs the size, for the error message.

  Raises:
    ValueError: height or width is unknown while the graph is built.
  """
  size = net.shape.as_list()[1:3]
  if None in size:
    raise ValueError(f'{layer} has weights for every position, but the height or width of '
                     'the images is unknown: resize them to one size, or set it with '
                     'images.set_shape([None, height, width, 3])')
  return size


def named(network_function, name, what):
  """Set the name and docstring of a network function that another function created.

  Args:
    network_function: function.
    name: string, the published name.
    what: string, what the network is.

  Returns:
    The function.
  """
  network_function.__name__ = network_function.__qualname__ = name
  network_function.__doc__ = f"""Build {name}: {what}.

  Args:
    inputs: images [batch, height, width, channels], any floating dtype.
    num_classes: integer, or 0 or None for features instead of logits.
    is_training: whether dropout acts and batch norm uses the statistics of the batch.
    **kwargs: see the signature.

  Returns:
    (logits [batch, num_classes] or features, dict of end points).
  """
  return network_function


@slim.add_arg_scope
def dropout(inputs, keep_prob=0.5, *, is_training=True, scope=None):
  """Set some activations to zero in training, and scale up the others.

  Args:
    inputs: tensor, any floating dtype.
    keep_prob: float, share of the activations that is kept.
    is_training: bool; if false, `inputs` stay as they are.
    scope: string, by default 'Dropout'.

  Returns:
    Tensor of the shape and dtype of `inputs`.
  """
  with tf.variable_scope(scope, 'Dropout', [inputs]):
    if not is_training or keep_prob >= 1:
      return tf.identity(inputs)
    return keep_randomly(inputs, keep_prob, tf.shape(inputs))


@slim.add_arg_scope
def keep_randomly(net, keep_prob, shape, *, seed=None):
  """Set random parts of `net` to zero, and scale up the others so that the expected mean stays.

  Args:
    net: tensor, any floating dtype.
    keep_prob: float or scalar float32 tensor, the probability of keeping a part.
    shape: the shape of the random mask, which is broadcast to that of `net`: each element
      stands for one part.
    seed: int64 tensor [2] that determines the choice, together with the name of the variable
      scope; with None the choice differs at every run. model_factory sets it in the arg scope of
      a network.

  Returns:
    Tensor of the shape and dtype of `net`.
  """
  # In float32: bfloat16 has too few numbers below 1 for a probability such as 0.999.
  if seed is None:
    number = tf.random_uniform(shape)
  else:
    number = tf.random.stateless_uniform(shape, _scope_seed(seed))
  return net * tf.cast(tf.cast(number < keep_prob, tf.float32) / keep_prob, net.dtype)


def _scope_seed(seed):
  """Return a seed for the current variable scope."""
  scope = zlib.crc32(tf.get_variable_scope().name.encode())
  with tf.device('/cpu:0'):  # Random operations read their seed there.
    return tf.random.experimental.stateless_fold_in(seed, tf.constant(scope, tf.int64))


def relu(net):
  """Rectify as tf.nn.relu() does, by the fastest method for the device.

  In training on a CPU, bfloat16 is rectified by its bits, which is several times as fast, but makes
  only some networks faster. A NaN may then become zero, as it may when TensorFlow fuses batch norm
  and rectifier; a training step therefore checks the statistics of batch norm.

  Args:
    net: tensor, any floating dtype, the output of a batch norm or a sum of such outputs.
  """
  return (rectifier_utils.relu if _trains_by_bits(net) else tf.nn.relu)(net)


def relu6(net):
  """Rectify as tf.nn.relu6() does, by the fastest method for the device, see relu()."""
  return (rectifier_utils.relu6 if _trains_by_bits(net) else tf.nn.relu6)(net)


def _trains_by_bits(net):
  """Return whether to rectify `net` by its bits: it is bfloat16, in training on a CPU."""
  return (net.dtype == tf.bfloat16 and not device_utils.accelerator()
          and uses_batch_statistics({}))


def uses_batch_statistics(arguments):
  """Return whether slim.batch_norm() with `arguments` and its arg scope has is_training=True."""
  return {'is_training': True, **scope_of(slim.batch_norm), **arguments}['is_training'] is True


def scope_of(layer):
  """Return the arguments that the current arg scope sets for a TF-Slim layer, a dict."""
  return slim.current_arg_scope().get(slim.arg_scope_func_key(layer), {})


def average(net, name='average'):
  """Return the average over all positions, [batch, 1, 1, channels], in the dtype of `net`.

  It is computed in float32: a half-precision sum of thousands of elements loses precision.
  """
  mean = tf.reduce_mean(tf.cast(net, tf.float32), [1, 2], keepdims=True, name=name)
  return tf.cast(mean, net.dtype)
