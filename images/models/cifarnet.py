"""CifarNet for 32 x 32 pictures: convolutions with local response normalization.

After cuda-convnet's CIFAR-10 network (Krizhevsky, 2011).
"""
from images.models import model_utils
from images.utils.tf1 import slim, tf


def cifarnet_arg_scope(weight_decay=0.004):
  """Return the arg scope of CifarNet; only fc3 and fc4 have an L2 loss."""
  with slim.arg_scope(
      [slim.conv2d],
      weights_initializer=tf.truncated_normal_initializer(stddev=5e-2)), slim.arg_scope(
      [slim.fully_connected],
      biases_initializer=tf.constant_initializer(0.1),
      weights_initializer=tf.truncated_normal_initializer(stddev=0.04),
      weights_regularizer=slim.l2_regularizer(weight_decay)) as scope:
    return scope


@model_utils.network(default_image_size=32, smallest_image_size=4)
def cifarnet(inputs, num_classes=10, *, is_training=False, dropout_keep_prob=0.5,
             reuse=None, scope='CifarNet'):
  """Build CifarNet; arguments and results as in `lenet.lenet`."""
  model_utils.known_size(inputs, 'fc3 of cifarnet')
  end_points = {}
  with tf.variable_scope(scope, 'CifarNet', [inputs], reuse=reuse):
    net = end_points['conv1'] = slim.conv2d(inputs, 64, 5, scope='conv1')
    net = end_points['pool1'] = slim.max_pool2d(net, 2, scope='pool1')
    net = _normalize_response(net, 'norm1')
    net = end_points['conv2'] = slim.conv2d(net, 64, 5, scope='conv2')
    net = _normalize_response(net, 'norm2')
    net = end_points['pool2'] = slim.max_pool2d(net, 2, scope='pool2')
    net = end_points['Flatten'] = slim.flatten(net)
    net = end_points['fc3'] = slim.fully_connected(net, 384, scope='fc3')
    net = model_utils.dropout(net, dropout_keep_prob, is_training=is_training, scope='dropout3')
    net = end_points['fc4'] = slim.fully_connected(net, 192, scope='fc4')
    if not num_classes:
      return net, end_points
    logits = end_points['Logits'] = _logits(net, num_classes)
    end_points['Predictions'] = slim.softmax(logits, scope='Predictions')
  return logits, end_points


def _normalize_response(net, name):
  """Normalize every activation by the 9 channels around it, its own included."""
  # TensorFlow has no half-precision kernel for this on the CPU.
  normalized = tf.nn.lrn(tf.cast(net, tf.float32), depth_radius=4, bias=1.0,
                         alpha=0.001 / 9.0, beta=0.75, name=name)
  return tf.cast(normalized, net.dtype)


def _logits(net, num_classes):
  """Return the logits; their layer starts with small weights and has no weight decay."""
  return slim.fully_connected(
      net, num_classes, activation_fn=None,
      biases_initializer=tf.zeros_initializer(),
      weights_initializer=tf.truncated_normal_initializer(stddev=1 / 192.0),
      weights_regularizer=None, scope='logits')
