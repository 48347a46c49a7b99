"""VGG (1409.1556): stacks of 3x3 convolutions, halvings between them, three wide layers."""
from images.models import model_utils
from images.utils.tf1 import slim, tf

# (published name, channels) of the five stacks; each is followed by a 2x2 pooling.
_STACKS = (('conv1', 64), ('conv2', 128), ('conv3', 256), ('conv4', 512), ('conv5', 512))


def vgg_arg_scope(weight_decay=0.0005):
  """Return the arg scope of VGG; `weight_decay` is the factor of the L2 loss."""
  with slim.arg_scope(
      [slim.conv2d],
      activation_fn=tf.nn.relu,
      weights_regularizer=slim.l2_regularizer(weight_decay),
      biases_initializer=tf.zeros_initializer()) as scope:
    return scope


def _declare(name, *, layers):
  """Return the network function `name` with that many layers in each stack."""
  # Five halvings leave the 7x7 window of fc6.
  @model_utils.network(default_image_size=224, smallest_image_size=224)
  def vgg(inputs, num_classes=1000, *, is_training=True, dropout_keep_prob=0.5,
          spatial_squeeze=True, reuse=None, scope=name, global_pool=False):
    with tf.variable_scope(scope, name, [inputs], reuse=reuse) as var_scope:
      collection = var_scope.original_name_scope + '_end_points'
      with slim.arg_scope([slim.conv2d, slim.max_pool2d], outputs_collections=collection):
        net = inputs
        for index, (stack, channels) in enumerate(_STACKS):
          net = slim.repeat(net, layers[index], slim.conv2d, channels, 3, scope=stack)
          net = slim.max_pool2d(net, 2, scope=f'pool{index + 1}')
        net = slim.conv2d(net, 4096, 7, padding='VALID', scope='fc6')
        return model_utils.wide_head(
            net, num_classes, var_scope.name, collection, is_training=is_training,
            dropout_keep_prob=dropout_keep_prob, spatial_squeeze=spatial_squeeze,
            global_pool=global_pool)

  return model_utils.named(vgg, name, f'{sum(layers) + 3} layers')


vgg_a = _declare('vgg_a', layers=(1, 1, 2, 2, 2))
vgg_16 = _declare('vgg_16', layers=(2, 2, 3, 3, 3))
vgg_19 = _declare('vgg_19', layers=(2, 2, 4, 4, 4))
