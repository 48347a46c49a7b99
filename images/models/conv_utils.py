"""Convolutions in the way that is fastest here: layers, and the head that predicts with one."""
import functools
import inspect
import math

from images.models import batch_norm_utils, model_utils
from images.utils import covariance_utils, device_utils, product_utils, winograd_utils
from images.utils.tf1 import slim, tf


@slim.add_arg_scope
def conv2d(inputs, num_outputs, kernel_size, *, is_training=False, **arguments):
  """Convolve as slim.conv2d() does with its arg scope, in the way that is fastest here.

  In training on a CPU, 3 x 3 filters in float32 take fewer multiplications, see winograd_utils;
  batch norm after 1 x 1 filters of few channels takes less time, see covariance_utils; and 1 x 1
  filters over few pixels are matrix products, see product_utils. Variables and outputs are those of
  slim.conv2d(). On a GPU and in evaluation nothing changes.

  Args:
    inputs: tensor [batch, height, width, channels].
    num_outputs: integer, channels of the output.
    kernel_size: integer, or (height, width) in pixels.
    is_training: whether the network is trained; the factory puts it into the arg scope.
    **arguments: others of slim.conv2d().

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
  """Convolve with padding VALID, as a matrix product where the kernel sees the whole image.

  It is the layer that slim.conv2d() makes, with its arg scope and its variables, but a processor
  takes up to ten times as long for a convolution that has one position.

  Args:
    net: tensor [batch, height, width, channels].
    channels: integer, of the output.
    kernel: (height, width) in pixels.
    **arguments: others of slim.conv2d() that slim.fully_connected() has as well.

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
  """Average, drop out and predict with a 1x1 convolution: MobileNets, Inception v1 to v3.

  Args:
    net: tensor [batch, height, width, channels].
    num_classes: integer, or 0 or None for the averaged features.
    end_points: dict, is added to.
    pool: string, the end point of the average.
    is_training: whether dropout acts.
    dropout_keep_prob: share of the activations that dropout keeps.
    spatial_squeeze: whether logits are [batch, num_classes], not rank 4.
    scope: string, of the convolution.
    pre_logits: whether what the convolution sees is an end point.

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
  """Return all that a call of a layer of TF-Slim hands to it, in its arg scope, a dict."""
  call = inspect.signature(layer).bind(*inputs, **{**model_utils.scope_of(layer), **arguments})
  call.apply_defaults()
  return call.arguments


def _both(sides):
  """Return [height, width] of an integer or of both."""
  return [sides] * 2 if isinstance(sides, int) else list(sides)


def _faster_convolution(inputs, num_outputs, kernel_size, stride, rate, padding, data_format,
                        normalizer_fn, normalizer_params, **_):
  """Return the `convolve` of _layer() that beats slim.conv2d() on a CPU, or None."""
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
  """Return what a layer computes whose `convolve` makes of inputs and filters what is activated."""
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
  """Return what slim.conv2d() makes of a convolution before it is activated."""
  net = convolution(inputs, filters)
  if normalizer_fn:
    return normalizer_fn(net, **normalizer_params or {})
  if not biases_initializer:
    return net
  return tf.nn.bias_add(net, variable(
      'biases', filters.shape[3:], biases_initializer, biases_regularizer))


def _normalized_by_covariance(inputs, filters, _, **__):
  """Return what batch norm makes of the convolution, with its arg scope and variables."""
  def normalize(gamma, beta, _, *, epsilon, is_training):
    del is_training  # It does.
    net, mean, variance = covariance_utils.convolution(inputs, filters, gamma, beta, epsilon)
    count = inputs.shape[:3].num_elements()
    return net, mean, variance * (count / (count - 1))

  return batch_norm_utils.layer(
      normalize, inputs, filters.shape[3], **model_utils.scope_of(slim.batch_norm))
