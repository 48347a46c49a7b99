"""Finds the preprocessing that a network was published with.

To add a preprocessing, write `preprocess_image(image, output_height, output_width,
is_training=False, seed=None)` in a module next to this one, and add it to
`preprocessing_fn_map` under its name. If it ends in arithmetic on each pixel, the
device can do that part, see `halves_map`.
"""
import functools

from images.preprocessing import (
    cifarnet_preprocessing,
    inception_preprocessing,
    lenet_preprocessing,
    vgg_preprocessing,
)
from images.utils import name_utils
from images.utils.tf1 import tf

# Which module prepares images for which networks; the first name is the module's own.
_NETWORKS = {
    cifarnet_preprocessing: 'cifarnet nasnet_cifar',
    inception_preprocessing: '''
        inception inception_v1 inception_v2 inception_v3 inception_v4 inception_resnet_v2
        alexnet_v2 overfeat
        mobilenet_v1 mobilenet_v1_075 mobilenet_v1_050 mobilenet_v1_025
        mobilenet_v2 mobilenet_v2_140 mobilenet_v2_035
        mobilenet_v3_large mobilenet_v3_small
        mobilenet_v3_large_minimalistic mobilenet_v3_small_minimalistic
        mobilenet_edgetpu mobilenet_edgetpu_075
        nasnet_mobile nasnet_large pnasnet_mobile pnasnet_large''',
    lenet_preprocessing: 'lenet',
    vgg_preprocessing: '''
        vgg vgg_a vgg_16 vgg_19
        resnet_v1_50 resnet_v1_101 resnet_v1_152 resnet_v1_200
        resnet_v2_50 resnet_v2_101 resnet_v2_152 resnet_v2_200''',
}

preprocessing_fn_map = {name: module.preprocess_image
                        for module, names in _NETWORKS.items() for name in names.split()}

# A preprocessing that ends in arithmetic on each pixel -> (all before that, a function with the
# same arguments; the arithmetic, a function from its images or a batch of them to float32).
halves_map = {
    inception_preprocessing.preprocess_image: (
        inception_preprocessing.distort, inception_preprocessing.center_on_zero),
    lenet_preprocessing.preprocess_image: (
        lenet_preprocessing.crop_or_pad, lenet_preprocessing.scale),
    vgg_preprocessing.preprocess_image: (
        vgg_preprocessing.crop_and_resize, vgg_preprocessing.subtract_mean),
}


def get_preprocessing(name, is_training=False):
  """Return the preprocessing function of that name.

  Args:
    name: string, a network's name or one of 'cifarnet', 'inception', 'lenet', 'vgg'.
    is_training: whether the function distorts images at random.

  Returns:
    `preprocessing_fn(image, output_height, output_width, **kwargs)`: from an image,
    uint8 [height, width, 3] or a scalar string of encoded bytes, to float32
    [output_height, output_width, 3]. `seed=` makes it repeatable; further keyword
    arguments are those of the module's `preprocess_image`.

  Raises:
    ValueError: no preprocessing has that name.
  """
  function = name_utils.lookup(preprocessing_fn_map, name,
                               'preprocessing (--preprocessing_name)')
  return functools.partial(function, is_training=is_training)


def get_halves(name, is_training=False):
  """Return (on_host, on_device), which in sequence do what get_preprocessing() does.

  Args:
    name, is_training: see get_preprocessing().

  Returns:
    on_host: function like that of get_preprocessing(), without the arithmetic that the
      device can do. Unless something else converts the pixels to floats, they stay uint8: a
      quarter of the bytes to keep and to copy to the device.
    on_device: function from a batch of images of on_host to float32, both [batch, height,
      width, channels].

  Raises:
    ValueError: no preprocessing has that name.
  """
  whole = get_preprocessing(name, is_training)
  if preprocessing_fn_map[name] not in halves_map:
    return whole, tf.identity
  on_host, on_device = halves_map[preprocessing_fn_map[name]]
  return functools.partial(on_host, is_training=is_training), on_device
