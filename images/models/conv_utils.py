"""Convolution layers by the fastest method for the device, and a head that predicts with one."""
import functools
import inspect
import math

from images.models import batch_norm_utils, model_utils
from images.utils import covariance_utils, device_utils, product_utils, winograd_utils
from images.utils.tf1 import slim, tf


@slim.add_arg_scope
def conv2d(inputs, num_outputs, kernel_size, *, is_training=False, **arguments):
  """Convolve as slim.conv2d() with its arg scope does, by the fastest method for the device.

  In training on a CPU, 3 x 3 filters in float32 take fewer multiplications (see winograd_utils),
  batch norm after 1 x 1 filters with few input channels takes less time (see covariance_utils), and
  1 x 1 filters over few pixels are computed as matrix products (see product_utils). Variables and,
  up to rounding, outputs are those of slim.conv2d(). On a GPU and in evaluation nothing changes.

  Args:
    inputs: tensor [batch, height, width, channels].
    num_outputs: integer, channels of the output.
    kernel_size: integer, or (height, width) in pixels.
    is_training: whether the network is trained; model_factory sets it in the arg scope.
    **arguments: other arguments of slim.conv2d().

  Returns:
    Tensor [batch, output height, output width, num_outputs].
  """
  if is_training and not device_utils.accelerator():
    layer = _arguments_of(slim.conv2d, inputs, num_outputs, kernel_size, **arguments)
    convolve = _faster_convolution(**layer)
    if convolve:
      return _layer(convolve, **layer)
  return slim.conv2d(inputs, num_outputs, kernel_size, **arguments)


def valid_conv2d(net, channels, kernel=(1, 1), **arguments):
  """Convolve with padding VALID; if the kernel covers the whole image, as a matrix product.

  The layer has the arg scope and the variables of slim.conv2d(). On a CPU, a convolution with only
  one position takes up to ten times as long as the product.

  Args:
    net: tensor [batch, height, width, channels].
    channels: integer, channels of the output.
    kernel: (height, width) in pixels.
    **arguments: other arguments that slim.conv2d() and slim.fully_connected() both have.

  Returns:
    Tensor [batch, 1 + height - kernel height, 1 + width - kernel width, channels].
  """
  if net.shape[1:3] != kernel:
    return slim.conv2d(net, channels, kernel, padding='VALID', **arguments)
  filters = [*kernel, net.shape[3], channels]

  def as_matrix(getter, name, shape=None, **of_variable):
    if not name.endswith('/weights'):
      return getter(name, shape=shape, **of_variable)
    return tf.reshape(getter(name, shape=filters, **of_variable), shape)

  with tf.variable_scope(tf.get_variable_scope(), custom_getter=as_matrix,
                         auxiliary_name_scope=False):
    pixels = tf.reshape(net, [-1, 1, 1, math.prod(filters[:3])])
    return slim.fully_connected(
        pixels, channels, **{**model_utils.scope_of(slim.conv2d), **arguments})


def conv_head(net, num_classes, end_points, *, pool, is_training, dropout_keep_prob,
              spatial_squeeze, scope='Conv2d_1c_1x1', pre_logits=False):
  """Average, apply dropout, predict with a 1x1 convolution: MobileNets and Inception v1 to v3.

  Args:
    net: tensor [batch, height, width, channels].
    num_classes: integer, or 0 or None to return the averaged features.
    end_points: dict to which the end points of the head are added.
    pool: string, the name of the average among the end points.
    is_training: whether dropout acts.
    dropout_keep_prob: share of the activations that dropout keeps.
    spatial_squeeze: whether logits are [batch, num_classes], not rank 4.
    scope: string, the scope of the convolution.
    pre_logits: whether the input of the convolution becomes the end point 'PreLogits'.

  Returns:
    (logits or features, end points).
  """
  with tf.variable_scope('Logits'):
    net = end_points[pool] = model_utils.average(net, pool)
    if not num_classes:
      return net, end_points
    net = model_utils.dropout(net, dropout_keep_prob, is_training=is_training, scope='Dropout')
    if pre_logits:
      end_points['PreLogits'] = net
    net = valid_conv2d(net, num_classes, activation_fn=None, normalizer_fn=None, scope=scope)
    if spatial_squeeze:
      net = tf.squeeze(net, [1, 2], name='SpatialSqueeze')
  end_points['Logits'] = net
  end_points['Predictions'] = slim.softmax(net, scope='Predictions')
  return net, end_points


def _arguments_of(layer, *inputs, **arguments):
  """Return the arguments of a TF-Slim layer's call, its arg scope and defaults included, a dict."""
  call = inspect.signature(layer).bind(*inputs, **{**model_utils.scope_of(layer), **arguments})
  call.apply_defaults()
  return call.arguments


def _both(sides):
  """Return [height, width] of a pair, or of an integer that stands for both."""
  return [sides] * 2 if isinstance(sides, int) else list(sides)


def _faster_convolution(inputs, num_outputs, kernel_size, stride, rate, padding, data_format,
                        normalizer_fn, normalizer_params, **_):
  """Return a `convolve` for _layer() that is faster than slim.conv2d() on a CPU, or None."""
  if not (_both(stride) == _both(rate) == [1, 1] and data_format in (None, 'NHWC')
          and inputs.shape[1:].is_fully_defined()):
    return None
  kernel = _both(kernel_size)
  filters = [*kernel, inputs.shape[3], num_outputs]
  if (padding == 'SAME' and inputs.dtype == tf.float32
      and winograd_utils.is_faster(inputs, filters, inputs.shape[1:3], forward=True)):
    return functools.partial(_convolved, winograd_utils.convolution)
  if (kernel == [1, 1] and covariance_utils.is_faster(inputs, num_outputs)
      and normalizer_fn is batch_norm_utils.batch_norm and not normalizer_params
      and batch_norm_utils.is_plain(model_utils.scope_of(slim.batch_norm))
      and model_utils.uses_batch_statistics({})):
    return _normalized_by_covariance
  if product_utils.is_faster(inputs, filters):
    return functools.partial(_convolved, product_utils.convolution)
  return None


def _layer(convolve, inputs, num_outputs, kernel_size, scope, reuse, trainable,
           variables_collections, outputs_collections, weights_initializer, weights_regularizer,
           activation_fn, **others):
  """Build a slim.conv2d() layer in which `convolve` computes the input of the activation."""
  def variable(name, shape, initializer, regularizer):
    return slim.model_variable(
        name, shape, inputs.dtype, initializer=initializer, regularizer=regularizer,
        trainable=trainable,
        collections=slim.utils.get_variable_collections(variables_collections, name))

  with tf.variable_scope(scope, 'Conv', [inputs], reuse=reuse) as layer:
    filters = variable('weights', [*_both(kernel_size), inputs.shape[3], num_outputs],
                       weights_initializer, weights_regularizer)
    net = convolve(inputs, filters, variable, **others)
    if activation_fn:
      net = activation_fn(net)
  return slim.utils.collect_named_outputs(outputs_collections, layer.name, net)


def _convolved(convolution, inputs, filters, variable, *, normalizer_fn, normalizer_params,
               biases_initializer, biases_regularizer, **_):
  """Convolve, then apply the normalizer or biases as slim.conv2d() does before the activation."""
  net = convolution(inputs, filters)
  if normalizer_fn:
    return normalizer_fn(net, **normalizer_params or {})
  if not biases_initializer:
    return net
  return tf.nn.bias_add(net, variable(
      'biases', filters.shape[3:], biases_initializer, biases_regularizer))


def _normalized_by_covariance(inputs, filters, _, **__):
  """Convolve and batch-normalize, with the arg scope and the variables of slim.batch_norm()."""
  def normalize(gamma, beta, _, *, epsilon, is_training):
    del is_training  # Always true, see _faster_convolution().
    net, mean, variance = covariance_utils.convolution(inputs, filters, gamma, beta, epsilon)
    count = inputs.shape[:3].num_elements()
    return net, mean, variance * (count / (count - 1))

  return batch_norm_utils.layer(
      normalize, inputs, filters.shape[3], **model_utils.scope_of(slim.batch_norm))
