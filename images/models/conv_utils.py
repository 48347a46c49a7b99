"""Convolutions in the way that is fastest here: layers, and the head that predicts with one."""
import inspect
import math

from images.models import model_utils
from images.utils import device_utils, winograd_utils
from images.utils.tf1 import slim, tf


@slim.add_arg_scope
def conv2d(inputs, num_outputs, kernel_size, *, is_training=False, **arguments):
  """Convolve as slim.conv2d() does with its arg scope, in the way that is fastest here.

  In training a processor saves multiplications in float32, see winograd_utils. The variables and
  the outputs are those of slim.conv2d(). On a GPU, and in evaluation, nothing is changed.

  Args:
    inputs: tensor [batch, height, width, channels].
    num_outputs: integer, channels of the output.
    kernel_size: integer, or (height, width) in pixels.
    is_training: whether the network is trained; the factory puts it into the arg scope.
    **arguments: others of slim.conv2d().

  Returns:
    Tensor [batch, output height, output width, num_outputs].
  """
  scope = slim.current_arg_scope().get(slim.arg_scope_func_key(slim.conv2d), {})
  layer = inspect.signature(slim.conv2d).bind(inputs, num_outputs, kernel_size,
                                              **{**scope, **arguments})
  layer.apply_defaults()
  if is_training and _is_faster(**layer.arguments):
    return _conv2d(**layer.arguments)
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
    return slim.fully_connected(pixels, channels, **{**_arguments_of(slim.conv2d), **arguments})


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


def _arguments_of(function):
  """Return what the arg scope has for a function of TF-Slim, a dict."""
  return slim.current_arg_scope().get(slim.arg_scope_func_key(function), {})


def _is_faster(inputs, num_outputs, kernel_size, stride, padding, rate, data_format, **_):
  """Return whether a processor computes such a layer with fewer multiplications, and faster."""
  kernel, strides, rates = [[sides] * 2 if isinstance(sides, int) else list(sides)
                            for sides in (kernel_size, stride, rate)]
  return (strides == rates == [1, 1] and padding == 'SAME' and data_format in (None, 'NHWC')
          and inputs.shape[1:].is_fully_defined() and not device_utils.accelerator()
          and winograd_utils.is_faster(inputs, [*kernel, inputs.shape[3], num_outputs],
                                       inputs.shape[1:3], channels_times=1.5))


def _conv2d(inputs, num_outputs, scope, reuse, trainable, variables_collections,
            outputs_collections, weights_initializer, weights_regularizer, biases_initializer,
            biases_regularizer, normalizer_fn, normalizer_params, activation_fn, **_):
  """Return what a layer of 3 x 3 filters computes."""
  def variable(name, shape, initializer, regularizer):
    return slim.model_variable(
        name, shape, inputs.dtype, initializer=initializer, regularizer=regularizer,
        trainable=trainable,
        collections=slim.utils.get_variable_collections(variables_collections, name))

  with tf.variable_scope(scope, 'Conv', [inputs], reuse=reuse) as layer:
    net = winograd_utils.convolution(inputs, variable(
        'weights', [3, 3, inputs.shape[3], num_outputs], weights_initializer, weights_regularizer))
    if normalizer_fn:
      net = normalizer_fn(net, **normalizer_params or {})
    elif biases_initializer:
      net = tf.nn.bias_add(net, variable(
          'biases', [num_outputs], biases_initializer, biases_regularizer))
    if activation_fn:
      net = activation_fn(net)
  return slim.utils.collect_named_outputs(outputs_collections, layer.name, net)
