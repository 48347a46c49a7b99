"""LeNet for small grey digits: two convolutions and two fully connected layers.

After LeCun et al., Gradient-Based Learning Applied to Document Recognition (1998),
with rectifiers, wider layers and dropout.
"""
from images.models import model_utils
from images.utils.tf1 import slim, tf


def lenet_arg_scope(weight_decay=0.0):
  """Return the arg scope of LeNet; `weight_decay` is the factor of the L2 loss."""
  with slim.arg_scope(
      [slim.conv2d, slim.fully_connected],
      weights_regularizer=slim.l2_regularizer(weight_decay),
      weights_initializer=tf.truncated_normal_initializer(stddev=0.1)) as scope:
    return scope


@model_utils.network(default_image_size=28, smallest_image_size=4)
def lenet(inputs, num_classes=10, *, is_training=False, dropout_keep_prob=0.5,
          reuse=None, scope='LeNet'):
  """Build LeNet.

  Args:
    inputs: images [batch, height, width, channels], any floating dtype; of a known size.
    num_classes: integer, or 0 or None for the features before the dropout.
    is_training: whether dropout acts.
    dropout_keep_prob: share of the activations that dropout keeps.
    reuse: whether to reuse the variables of an earlier call.
    scope: string, the variable scope.

  Returns:
    (logits [batch, num_classes], dict of end points).

  Raises:
    ValueError: the images are too small, or their size is unknown.
  """
  model_utils.known_size(inputs, 'fc3 of lenet')
  end_points = {}
  with tf.variable_scope(scope, 'LeNet', [inputs], reuse=reuse):
    net = end_points['conv1'] = slim.conv2d(inputs, 32, 5, scope='conv1')
    net = end_points['pool1'] = slim.max_pool2d(net, 2, scope='pool1')
    net = end_points['conv2'] = slim.conv2d(net, 64, 5, scope='conv2')
    net = end_points['pool2'] = slim.max_pool2d(net, 2, scope='pool2')
    net = end_points['Flatten'] = slim.flatten(net, scope='Flatten')
    net = end_points['fc3'] = slim.fully_connected(net, 1024, scope='fc3')
    if not num_classes:
      return net, end_points
    net = end_points['dropout3'] = model_utils.dropout(
        net, dropout_keep_prob, is_training=is_training, scope='dropout3')
    logits = end_points['Logits'] = slim.fully_connected(
        net, num_classes, activation_fn=None, scope='fc4')
    end_points['Predictions'] = slim.softmax(logits, scope='Predictions')
  return logits, end_points
