"""What the networks share: image sizes and their check, dropout, pooling and prediction."""
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
      leaves every layer at least one position; an attribute too.

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
  """Return [height, width] of `net`, which the shape of the layer's weights depends on.

  Args:
    net: tensor [batch, height, width, channels].
    layer: string, what needs the size.

  Raises:
    ValueError: height or width is unknown while the graph is built.
  """
  size = net.shape.as_list()[1:3]
  if None in size:
    raise ValueError(f'{layer} has weights for every position, but the height or width of '
                     'the images is unknown: resize them to one size, or tell it with '
                     'images.set_shape([None, height, width, 3])')
  return size


def named(network_function, name, what):
  """Give a network function that a table row made its name and its documentation.

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
    is_training: bool, without which `inputs` stay as they are.
    scope: string, by default 'Dropout'.
  """
  with tf.variable_scope(scope, 'Dropout', [inputs]):
    if not is_training or keep_prob >= 1:
      return tf.identity(inputs)
    return keep_randomly(inputs, keep_prob, tf.shape(inputs))


@slim.add_arg_scope
def keep_randomly(net, keep_prob, shape, *, seed=None):
  """Set a part of `net` to zero, and scale up the other so that the mean stays.

  Args:
    net: tensor, any floating dtype.
    keep_prob: float or scalar float32 tensor, the probability to keep a part.
    shape: of the parts, as broadcasting matches it to that of `net`.
    seed: int64 tensor [2], of which, and of the variable scope, the choice is a function.
      None chooses anew at every run. The factory puts it into the arg scope of a network.
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
  with tf.device('/cpu:0'):  # Random operations want their seed there.
    return tf.random.experimental.stateless_fold_in(seed, tf.constant(scope, tf.int64))


def relu(net):
  """Rectify as tf.nn.relu() does, in the way that is fastest here: worth it in some networks.

  In training a processor does it to the bits of bfloat16, several times as fast. What is not a
  number may so become zero, as where TensorFlow fuses batch norm and rectifier; a training step
  looks at what batch norm has seen.

  Args:
    net: tensor, any floating dtype, what a batch norm or a sum of such has made.
  """
  return (rectifier_utils.relu if _trains_by_bits(net) else tf.nn.relu)(net)


def relu6(net):
  """Rectify as tf.nn.relu6() does, in the way that is fastest here, see relu()."""
  return (rectifier_utils.relu6 if _trains_by_bits(net) else tf.nn.relu6)(net)


def _trains_by_bits(net):
  """Return whether `net` is what a processor does better with the bits of, while it trains."""
  return (net.dtype == tf.bfloat16 and not device_utils.accelerator()
          and uses_batch_statistics({}))


def uses_batch_statistics(arguments):
  """Return whether slim.batch_norm() with `arguments` and its arg scope is told that it trains."""
  return {'is_training': True, **scope_of(slim.batch_norm), **arguments}['is_training'] is True


def scope_of(layer):
  """Return the arguments that the arg scope has for a layer of TF-Slim, a dict."""
  return slim.current_arg_scope().get(slim.arg_scope_func_key(layer), {})


def average(net, name='average'):
  """Return the average over all positions, [batch, 1, 1, channels], in the dtype of `net`.

  It is computed in float32: a sum of thousands of half-precision numbers loses its digits.
  """
  mean = tf.reduce_mean(tf.cast(net, tf.float32), [1, 2], keepdims=True, name=name)
  return tf.cast(mean, net.dtype)
