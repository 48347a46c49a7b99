"""What residual networks have around their units: root, blocks, head and arg scope.

After He et al., Deep Residual Learning for Image Recognition (1512.03385) and
Identity Mappings in Deep Residual Networks (1603.05027).
"""
from images.models import batch_norm_utils, conv_utils, model_utils
from images.utils import device_utils
from images.utils.tf1 import slim, tf

# (published name, width of the bottleneck, stride of the block's last unit)
_BLOCKS = (
    ('block1', 64, 2),
    ('block2', 128, 2),
    ('block3', 256, 2),
    ('block4', 512, 1),
)


def resnet_arg_scope(weight_decay=0.0001):
  """Return the arg scope of all residual networks.

  Args:
    weight_decay: factor of the L2 loss of the convolutions' weights.
  """
  with slim.arg_scope(
      [slim.conv2d],
      weights_regularizer=slim.l2_regularizer(weight_decay),
      weights_initializer=slim.variance_scaling_initializer(),
      activation_fn=model_utils.relu, normalizer_fn=batch_norm_utils.batch_norm), slim.arg_scope(
      [slim.batch_norm], decay=0.997, epsilon=1e-5, scale=True), slim.arg_scope(
      [slim.max_pool2d], padding='SAME') as scope:
    return scope


def declare(name, *, units, bottleneck, preactivation):
  """Return the network function of one published residual network.

  Args:
    name: string, the published name; also the default variable scope.
    units: four integers, the number of units in block1 to block4.
    bottleneck: function (net, depth, stride) -> net, decorated with slim.add_arg_scope.
    preactivation: whether units normalize their input, so that the root has no
      batch norm of its own and the last block is followed by one.
  """
  @model_utils.network(default_image_size=224)
  def resnet(inputs, num_classes=None, *, is_training=True, global_pool=True,
             spatial_squeeze=True, reuse=None, scope=name):
    with tf.variable_scope(scope, name, [inputs], reuse=reuse) as var_scope:
      collection = var_scope.original_name_scope + '_end_points'
      with slim.arg_scope([slim.conv2d, bottleneck], outputs_collections=collection), \
          slim.arg_scope([slim.batch_norm], is_training=is_training):
        net = _root(inputs, preactivation)
        net = _blocks(net, units, bottleneck, collection)
        if preactivation:
          net = batch_norm_utils.batch_norm(net, activation_fn=model_utils.relu, scope='postnorm')
        end_points = slim.utils.convert_collection_to_dict(collection, clear_collection=True)
        return _head(net, num_classes, end_points, var_scope.name,
                     global_pool=global_pool, spatial_squeeze=spatial_squeeze)

  return model_utils.named(resnet, name, f'{units} bottleneck units in its four blocks')


def conv2d_same(inputs, num_outputs, kernel_size, *, stride, scope):
  """Convolve with a padding that depends on the kernel only, not on the image size.

  With stride 2 and an even image size, TensorFlow's SAME pads one pixel less at the top and left
  than at the bottom and right.

  Args:
    inputs: tensor [batch, height, width, channels].
    num_outputs: integer, channels of the output.
    kernel_size, stride: integers, pixels.
    scope: string.

  Returns:
    Tensor [batch, ceil(height / stride), ceil(width / stride), num_outputs].
  """
  if stride == 1:
    return conv_utils.conv2d(inputs, num_outputs, kernel_size, scope=scope)
  before = (kernel_size - 1) // 2
  pads = [before, kernel_size - 1 - before]
  padded = tf.pad(inputs, [[0, 0], pads, pads, [0, 0]])
  return slim.conv2d(padded, num_outputs, kernel_size, stride=stride, padding='VALID',
                     scope=scope)


def subsample(inputs, stride, scope):
  """Return every `stride`-th row and column of images, as pooling over single pixels does.

  On a CPU it avoids pooling, whose gradient is slow there, if the image size is known and a
  multiple of `stride`.

  Args:
    inputs: tensor [batch, height, width, channels].
    stride: integer, pixels.
    scope: string.

  Returns:
    Tensor [batch, ceil(height / stride), ceil(width / stride), channels].
  """
  if stride == 1:
    return inputs
  height, width, channels = inputs.shape[1:]
  if device_utils.accelerator() or None in (height, width) or height % stride or width % stride:
    return slim.max_pool2d(inputs, 1, stride=stride, scope=scope)
  with tf.name_scope(scope):
    rows, columns = height // stride, width // stride
    blocks = tf.reshape(inputs, [-1, rows, stride, columns, stride * channels])
    first = tf.slice(blocks, [0] * 5, [-1, rows, 1, columns, channels])
    return tf.reshape(first, [-1, rows, columns, channels])


def _root(inputs, preactivation):
  """Return 64 channels at a quarter of the height and width of the images."""
  own_activation = {'normalizer_fn': None, 'activation_fn': None} if preactivation else {}
  with slim.arg_scope([slim.conv2d], **own_activation):
    net = conv2d_same(inputs, 64, 7, stride=2, scope='conv1')
  return slim.max_pool2d(net, 3, stride=2, scope='pool1')


def _blocks(net, units, bottleneck, collection):
  """Stack the four blocks and collect the output of each as an end point."""
  for index, (block, depth, last_stride) in enumerate(_BLOCKS):
    with tf.variable_scope(block) as scope:
      for unit in range(1, units[index] + 1):
        stride = last_stride if unit == units[index] else 1
        with tf.variable_scope(f'unit_{unit}'):
          net = bottleneck(net, depth, stride=stride)
      net = slim.utils.collect_named_outputs(collection, scope.name, net)
  return net


def _head(net, num_classes, end_points, scope, *, global_pool, spatial_squeeze):
  """Return (logits or features, end points)."""
  if global_pool:
    net = end_points['global_pool'] = model_utils.average(net, 'pool5')
  if not num_classes:
    return net, end_points
  net = conv_utils.valid_conv2d(net, num_classes, activation_fn=None, normalizer_fn=None,
                                scope='logits')
  end_points[f'{scope}/logits'] = net
  if spatial_squeeze:
    net = tf.squeeze(net, [1, 2], name='SpatialSqueeze')
    end_points[f'{scope}/spatial_squeeze'] = net
  end_points['predictions'] = slim.softmax(net, scope='predictions')  # sic: lower case
  return net, end_points
