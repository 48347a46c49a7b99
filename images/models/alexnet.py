"""AlexNet for one device (1404.5997): five convolutions and three wide layers, no LRN."""
from images.models import model_utils
from images.utils.tf1 import slim, tf


def alexnet_v2_arg_scope(weight_decay=0.0005):
  """Return the arg scope of AlexNet; `weight_decay` is the factor of the L2 loss."""
  with slim.arg_scope(
      [slim.conv2d],
      activation_fn=tf.nn.relu,
      biases_initializer=tf.constant_initializer(0.1),
      weights_regularizer=slim.l2_regularizer(weight_decay)) as scope:
    return scope


# 195 pixels leave the 5x5 window of fc6.
@model_utils.network(default_image_size=224, smallest_image_size=195)
def alexnet_v2(inputs, num_classes=1000, *, is_training=True, dropout_keep_prob=0.5,
               spatial_squeeze=True, reuse=None, scope='alexnet_v2', global_pool=False):
  """Build AlexNet; arguments and results as in `model_utils.wide_head`."""
  with tf.variable_scope(scope, 'alexnet_v2', [inputs], reuse=reuse) as var_scope:
    collection = var_scope.original_name_scope + '_end_points'
    with slim.arg_scope([slim.conv2d, slim.max_pool2d], outputs_collections=collection):
      net = slim.conv2d(inputs, 64, 11, stride=4, padding='VALID', scope='conv1')
      net = slim.max_pool2d(net, 3, stride=2, scope='pool1')
      net = slim.conv2d(net, 192, 5, scope='conv2')
      net = slim.max_pool2d(net, 3, stride=2, scope='pool2')
      net = slim.conv2d(net, 384, 3, scope='conv3')
      net = slim.conv2d(net, 384, 3, scope='conv4')
      net = slim.conv2d(net, 256, 3, scope='conv5')
      net = slim.max_pool2d(net, 3, stride=2, scope='pool5')
      with slim.arg_scope(
          [slim.conv2d], weights_initializer=tf.truncated_normal_initializer(stddev=0.005)):
        net = slim.conv2d(net, 4096, 5, padding='VALID', scope='fc6')
        return model_utils.wide_head(
            net, num_classes, var_scope.name, collection, is_training=is_training,
            dropout_keep_prob=dropout_keep_prob, spatial_squeeze=spatial_squeeze,
            global_pool=global_pool)
