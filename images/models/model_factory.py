"""Finds a network and its arg scope by name.

The networks are not those of tf_slim.nets, which lacks half of the published ones, and whose
dropout cannot depend on the batch alone, so that a resumed run would differ from an uninterrupted
one.
"""
import functools
import inspect

from images.models import (
    alexnet,
    cifarnet,
    conv_utils,
    inception_resnet_v2,
    inception_utils,
    inception_v1,
    inception_v2,
    inception_v3,
    inception_v4,
    lenet,
    mobilenet_utils,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3,
    model_utils,
    nasnet,
    overfeat,
    pnasnet,
    resnet_utils,
    resnet_v1,
    resnet_v2,
    vgg,
)
from images.utils import name_utils, precision_utils
from images.utils.tf1 import slim, tf

models_map = {
    'lenet': lenet.lenet,
    'cifarnet': cifarnet.cifarnet,
    'alexnet_v2': alexnet.alexnet_v2,
    'overfeat': overfeat.overfeat,
    'vgg_a': vgg.vgg_a,
    'vgg_16': vgg.vgg_16,
    'vgg_19': vgg.vgg_19,
    'resnet_v1_50': resnet_v1.resnet_v1_50,
    'resnet_v1_101': resnet_v1.resnet_v1_101,
    'resnet_v1_152': resnet_v1.resnet_v1_152,
    'resnet_v1_200': resnet_v1.resnet_v1_200,
    'resnet_v2_50': resnet_v2.resnet_v2_50,
    'resnet_v2_101': resnet_v2.resnet_v2_101,
    'resnet_v2_152': resnet_v2.resnet_v2_152,
    'resnet_v2_200': resnet_v2.resnet_v2_200,
    'mobilenet_v1': mobilenet_v1.mobilenet_v1,
    'mobilenet_v1_075': mobilenet_v1.mobilenet_v1_075,
    'mobilenet_v1_050': mobilenet_v1.mobilenet_v1_050,
    'mobilenet_v1_025': mobilenet_v1.mobilenet_v1_025,
    'mobilenet_v2': mobilenet_v2.mobilenet_v2,
    'mobilenet_v2_140': mobilenet_v2.mobilenet_v2_140,
    'mobilenet_v2_035': mobilenet_v2.mobilenet_v2_035,
    'mobilenet_v3_large': mobilenet_v3.mobilenet_v3_large,
    'mobilenet_v3_small': mobilenet_v3.mobilenet_v3_small,
    'mobilenet_v3_large_minimalistic': mobilenet_v3.mobilenet_v3_large_minimalistic,
    'mobilenet_v3_small_minimalistic': mobilenet_v3.mobilenet_v3_small_minimalistic,
    'mobilenet_edgetpu': mobilenet_v3.mobilenet_edgetpu,
    'mobilenet_edgetpu_075': mobilenet_v3.mobilenet_edgetpu_075,
    'inception_v1': inception_v1.inception_v1,
    'inception_v2': inception_v2.inception_v2,
    'inception_v3': inception_v3.inception_v3,
    'inception_v4': inception_v4.inception_v4,
    'inception_resnet_v2': inception_resnet_v2.inception_resnet_v2,
    'nasnet_cifar': nasnet.nasnet_cifar,
    'nasnet_mobile': nasnet.nasnet_mobile,
    'nasnet_large': nasnet.nasnet_large,
    'pnasnet_mobile': pnasnet.pnasnet_mobile,
    'pnasnet_large': pnasnet.pnasnet_large,
}


def _all(prefix, arg_scope):
  """Return a dict from each network name that begins with `prefix` to the arg scope."""
  return {name: arg_scope for name in models_map if name.startswith(prefix)}


arg_scopes_map = {
    'lenet': lenet.lenet_arg_scope,
    'cifarnet': cifarnet.cifarnet_arg_scope,
    'alexnet_v2': alexnet.alexnet_v2_arg_scope,
    'overfeat': overfeat.overfeat_arg_scope,
    **_all('vgg_', vgg.vgg_arg_scope),
    **_all('resnet_', resnet_utils.resnet_arg_scope),
    **_all('mobilenet_v1', mobilenet_v1.mobilenet_v1_arg_scope),
    **_all('mobilenet_v2', mobilenet_utils.mobilenet_arg_scope),
    **_all('mobilenet_v3', mobilenet_utils.mobilenet_arg_scope),
    **_all('mobilenet_edgetpu', mobilenet_utils.mobilenet_arg_scope),
    **_all('inception_v', inception_utils.inception_arg_scope),
    'inception_resnet_v2': inception_resnet_v2.inception_resnet_v2_arg_scope,
    'nasnet_cifar': nasnet.nasnet_cifar_arg_scope,
    'nasnet_mobile': nasnet.nasnet_mobile_arg_scope,
    'nasnet_large': nasnet.nasnet_large_arg_scope,
    **_all('pnasnet_', pnasnet.pnasnet_arg_scope),
}


def get_network_fn(name, num_classes, weight_decay=0.0, is_training=False,
                   has_auxiliary_head=True):
  """Return the network called `name`, with its arguments filled in.

  Args:
    name: string, a key of `models_map`.
    num_classes: integer, width of the logits; 0 for features instead of logits.
    weight_decay: factor of the L2 losses of the weights.
    is_training: whether dropout acts and batch norm uses the statistics of the batch.
    has_auxiliary_head: whether to build the auxiliary head of a network that has one; its
      weights depend on the image size.

  Returns:
    A function `network_fn(images, seed=None, **kwargs) -> (logits, end_points)` with the
    attributes `default_image_size` and `smallest_image_size` (pixels). Its `seed`, an int64
    tensor [2], decides what dropout and drop path keep, see `model_utils.keep_randomly`. All
    variables that it creates, trainable or not, by TF-Slim or not, are in tf.model_variables().

  Raises:
    ValueError: no network has this name, or it has no arg scope; raised by network_fn: the
      network returned something other than logits for `num_classes` and a dict.
  """
  network = name_utils.lookup(models_map, name, 'model (--model_name)')
  arg_scope = name_utils.lookup(arg_scopes_map, name, 'arg scope of a model (arg_scopes_map)')
  if not has_auxiliary_head and 'create_aux_logits' in inspect.signature(network).parameters:
    network = functools.wraps(network)(functools.partial(network, create_aux_logits=False))

  @functools.wraps(network)
  def network_fn(images, seed=None, **kwargs):
    before = len(tf.global_variables())
    scope = precision_utils.float32_regularizers(arg_scope(weight_decay=weight_decay))
    with slim.arg_scope(scope), slim.arg_scope(
        [model_utils.keep_randomly], seed=seed), slim.arg_scope(
        [conv_utils.conv2d], is_training=is_training):
      outputs = network(images, num_classes=num_classes, is_training=is_training, **kwargs)
    _check_outputs(name, outputs, num_classes)
    known = set(tf.model_variables())
    tf.get_collection_ref(tf.GraphKeys.MODEL_VARIABLES).extend(
        variable for variable in tf.global_variables()[before:] if variable not in known)
    return outputs

  return network_fn


def _check_outputs(name, outputs, num_classes):
  """Raise ValueError unless a network returned logits of `num_classes` classes, and a dict."""
  if not (isinstance(outputs, tuple) and len(outputs) == 2 and isinstance(outputs[1], dict)):
    raise ValueError(f'the network {name} has to return (logits, end_points), a tensor and a '
                     f'dict, not {outputs}')
  if num_classes and outputs[0].shape[-1] != num_classes:
    raise ValueError(f'the network {name} gives logits of shape {outputs[0].shape} for '
                     f'{num_classes} classes')
