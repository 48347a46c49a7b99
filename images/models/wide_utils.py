"""AlexNet, OverFeat and VGG around their convolutions: arg scope and three wide layers.

The wide layers are convolutions, so that larger images are seen at several positions.
"""
import math

from images.models import model_utils
from images.utils.tf1 import slim, tf


def wide_arg_scope(weight_decay=0.0005, *, bias=0.0):
  """Return the arg scope: `weight_decay` is the L2 factor, `bias` the initial bias."""
  with slim.arg_scope(
      [slim.conv2d],
      weights_regularizer=slim.l2_regularizer(weight_decay),
      biases_initializer=tf.constant_initializer(bias)) as scope:
    return scope


def declare(name, *, convolutions, fc6, smallest_image_size, default_image_size=224, **wide):
  """Return the network function of one published network.

  Args:
    name: string, the published name; also the default variable scope.
    convolutions: function from the images to what fc6 sees.
    fc6: (channels, kernel) of the first wide layer, the kernel as (height, width).
    smallest_image_size: integer, pixels that leave fc6 one position.
    default_image_size: integer, pixels.
    **wide: arguments that the wide layers are made with.

  Returns:
    A function whose `global_pool` averages over all positions before fc8, and whose
    `spatial_squeeze` makes logits [batch, num_classes]: where larger images leave several
    positions it averages, too. Features are the output of fc7.
  """
  @model_utils.network(default_image_size=default_image_size,
                       smallest_image_size=smallest_image_size)
  def network(inputs, num_classes=1000, *, is_training=True, dropout_keep_prob=0.5,
              spatial_squeeze=True, reuse=None, scope=name, global_pool=False):
    with tf.variable_scope(scope, name, [inputs], reuse=reuse) as var_scope:
      collection = var_scope.original_name_scope + '_end_points'
      with slim.arg_scope([slim.conv2d, slim.max_pool2d], outputs_collections=collection):
        net = convolutions(inputs)
        with slim.arg_scope([slim.conv2d], **wide), slim.arg_scope(
            [model_utils.dropout], keep_prob=dropout_keep_prob, is_training=is_training):
          net = _wide_conv2d(net, *fc6, scope='fc6')
          net = _wide_conv2d(model_utils.dropout(net), 4096, scope='fc7')
          end_points = slim.utils.convert_collection_to_dict(collection, clear_collection=True)
          if global_pool or (num_classes and spatial_squeeze and net.shape[1:3] != [1, 1]):
            net = end_points['global_pool'] = model_utils.average(net)
          if not num_classes:
            return net, end_points
          net = _wide_conv2d(model_utils.dropout(net), num_classes, activation_fn=None,
                             biases_initializer=tf.zeros_initializer(), scope='fc8')
      if spatial_squeeze:
        net = tf.squeeze(net, [1, 2], name='fc8/squeezed')
      end_points[f'{var_scope.name}/fc8'] = net  # sic: squeezed
      return net, end_points

  return model_utils.named(network, name, 'convolutions and three wide layers')


def _wide_conv2d(net, channels, kernel=(1, 1), **arguments):
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

  scope = slim.current_arg_scope()[slim.arg_scope_func_key(slim.conv2d)]
  with tf.variable_scope(tf.get_variable_scope(), custom_getter=as_matrix,
                         auxiliary_name_scope=False):
    pixels = tf.reshape(net, [-1, 1, 1, math.prod(filters[:3])])
    return slim.fully_connected(pixels, channels, **{**scope, **arguments})
