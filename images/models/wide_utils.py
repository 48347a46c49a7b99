"""What AlexNet, OverFeat and VGG share around their convolutions: arg scope, three wide layers.

The wide layers are convolutions, so that they apply to several positions of larger images.
"""
from images.models import conv_utils, model_utils
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
    convolutions: function from the images to the input of fc6.
    fc6: (channels, kernel) of the first wide layer, the kernel as (height, width).
    smallest_image_size: integer, height and width in pixels that leave fc6 one position.
    default_image_size: integer, pixels.
    **wide: arguments of slim.conv2d() for the wide layers.

  Returns:
    The network function. Its `global_pool` averages over all positions before fc8. Its
    `spatial_squeeze` makes logits [batch, num_classes], and therefore also averages if larger
    images leave several positions. Features are the output of fc7.
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
          net = conv_utils.valid_conv2d(net, *fc6, scope='fc6')
          net = conv_utils.valid_conv2d(model_utils.dropout(net), 4096, scope='fc7')
          end_points = slim.utils.convert_collection_to_dict(collection, clear_collection=True)
          if global_pool or (num_classes and spatial_squeeze and net.shape[1:3] != [1, 1]):
            net = end_points['global_pool'] = model_utils.average(net)
          if not num_classes:
            return net, end_points
          net = conv_utils.valid_conv2d(
              model_utils.dropout(net), num_classes, activation_fn=None,
              biases_initializer=tf.zeros_initializer(), scope='fc8')
      if spatial_squeeze:
        net = tf.squeeze(net, [1, 2], name='fc8/squeezed')
      end_points[f'{var_scope.name}/fc8'] = net  # sic: squeezed
      return net, end_points

  return model_utils.named(network, name, 'convolutions and three wide layers')
