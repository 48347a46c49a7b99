"""VGG (1409.1556): stacks of 3x3 convolutions, each followed by pooling; three wide layers."""
import functools

from images.models import conv_utils, wide_utils
from images.utils.tf1 import slim

# (published name, channels) of the five stacks; each is followed by a 2x2 pooling.
_STACKS = (('conv1', 64), ('conv2', 128), ('conv3', 256), ('conv4', 512), ('conv5', 512))

vgg_arg_scope = wide_utils.wide_arg_scope


def _declare(name, *, layers):
  """Return the network function `name`; `layers` are the numbers of layers in its stacks."""
  # Images of 224 pixels, halved five times, leave the 7x7 positions that fc6 needs.
  return wide_utils.declare(
      name, convolutions=functools.partial(_convolutions, layers), fc6=(4096, (7, 7)),
      smallest_image_size=224)


def _convolutions(layers, net):
  for index, (stack, channels) in enumerate(_STACKS):
    net = slim.repeat(net, layers[index], conv_utils.conv2d, channels, 3, scope=stack)
    net = slim.max_pool2d(net, 2, scope=f'pool{index + 1}')
  return net


vgg_a = _declare('vgg_a', layers=(1, 1, 2, 2, 2))
vgg_16 = _declare('vgg_16', layers=(2, 2, 3, 3, 3))
vgg_19 = _declare('vgg_19', layers=(2, 2, 4, 4, 4))
