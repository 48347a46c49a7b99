"""OverFeat (1312.6229), the accurate model: five convolutions and three wide layers."""
from images.models import model_utils
from images.utils.tf1 import slim, tf


def overfeat_arg_scope(weight_decay=0.0005):
  """Return the arg scope of OverFeat; `weight_decay` is the factor of the L2 loss."""
  with slim.arg_scope(
      [slim.conv2d],
      activation_fn=tf.nn.relu,
      weights_regularizer=slim.l2_regularizer(weight_decay),
      biases_initializer=tf.zeros_initializer()) as scope:
    return scope


# 231 pixels leave the 6x6 window of fc6.
@model_utils.network(default_image_size=231, smallest_image_size=231)
def overfeat(inputs, num_classes=1000, *, is_training=True, dropout_keep_prob=0.5,
             spatial_squeeze=True, reuse=None, scope='overfeat', global_pool=False):
  """Build OverFeat; arguments and results as in `model_utils.wide_head`."""
  with tf.variable_scope(scope, 'overfeat', [inputs], reuse=reuse) as var_scope:
    collection = var_scope.original_name_scope + '_end_points'
    with slim.arg_scope([slim.conv2d, slim.max_pool2d], outputs_collections=collection):
      net = slim.conv2d(inputs, 64, 11, stride=4, padding='VALID', scope='conv1')
      net = slim.max_pool2d(net, 2, scope='pool1')
      net = slim.conv2d(net, 256, 5, padding='VALID', scope='conv2')
      net = slim.max_pool2d(net, 2, scope='pool2')
      net = slim.conv2d(net, 512, 3, scope='conv3')
      net = slim.conv2d(net, 1024, 3, scope='conv4')
      net = slim.conv2d(net, 1024, 3, scope='conv5')
      net = slim.max_pool2d(net, 2, scope='pool5')
      with slim.arg_scope(
          [slim.conv2d], weights_initializer=tf.truncated_normal_initializer(stddev=0.005),
          biases_initializer=tf.constant_initializer(0.1)):
        net = slim.conv2d(net, 3072, 6, padding='VALID', scope='fc6')
        return model_utils.wide_head(
            net, num_classes, var_scope.name, collection, is_training=is_training,
            dropout_keep_prob=dropout_keep_prob, spatial_squeeze=spatial_squeeze,
            global_pool=global_pool)
