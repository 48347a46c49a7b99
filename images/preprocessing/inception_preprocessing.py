"""Inception preprocessing: any part of the image, any aspect ratio; values in [-1, 1]."""
import functools

from images.preprocessing import image_ops
from images.preprocessing.image_ops import stateless_image
from images.utils.tf1 import tf

# How colours are distorted, of pixels in [0, 1].
_DISTORTIONS = {
    'brightness': lambda image, seed: stateless_image.stateless_random_brightness(
        image, 32 / 255, seed),
    'saturation': lambda image, seed: stateless_image.stateless_random_saturation(
        image, 0.5, 1.5, seed),
    'hue': lambda image, seed: stateless_image.stateless_random_hue(image, 0.2, seed),
    'contrast': lambda image, seed: stateless_image.stateless_random_contrast(
        image, 0.5, 1.5, seed),
}

# The distortions do not commute, so their order is drawn at random as well.
_FAST_ORDERS = (('brightness', 'saturation'),)
_ORDERS = (
    ('brightness', 'saturation', 'hue', 'contrast'),
    ('saturation', 'brightness', 'contrast', 'hue'),
    ('contrast', 'hue', 'brightness', 'saturation'),
    ('hue', 'saturation', 'contrast', 'brightness'),
)

_FAST_METHODS = (tf.image.ResizeMethod.BILINEAR,)
_METHODS = (tf.image.ResizeMethod.BILINEAR, tf.image.ResizeMethod.NEAREST_NEIGHBOR,
            tf.image.ResizeMethod.BICUBIC, tf.image.ResizeMethod.AREA)


def preprocess_image(image, output_height, output_width, is_training=False, **options):
  """Return the image in the form that the Inception and MobileNet families expect.

  train_image_classifiers.py calls its two halves, distort() and center_on_zero(),
  separately, see preprocessing_factory.halves_map.

  Args:
    Those of distort().

  Returns:
    float32 [output_height, output_width, 3] in [-1, 1].

  Raises:
    tf.errors.InvalidArgumentError: at run time, the bytes are no image.
  """
  return center_on_zero(distort(image, output_height, output_width, is_training, **options))


def distort(image, output_height, output_width, is_training=False, *,
            seed=None, fast_mode=True, bbox=None):
  """Return the image of preprocess_image() before it is centred on zero: float32 in [0, 1].

  Args:
    image: uint8 [height, width, 3], or a scalar string of encoded bytes. A decoded
      float image is taken to be in [0, 1] already.
    output_height, output_width: ints, pixels.
    is_training: whether to distort at random; otherwise the central 87.5% of both sides
      are resized.
    seed: integer or pair of integers that determines all randomness; None draws one.
    fast_mode: bool; if true, resizing is bilinear, and only brightness and saturation are
      distorted, in this order; otherwise one of four resizing methods and one of four orders
      of four colour distortions are drawn at random.
    bbox: float32 [1, boxes, 4], objects as [y_min, x_min, y_max, x_max] in fractions of the
      image; training keeps at least a tenth of one of them visible. None: the whole image.
  """
  size = (output_height, output_width)
  if is_training:
    image = _distort_for_train(image, size, seed=seed, fast_mode=fast_mode, bbox=bbox)
  else:
    image = _crop_for_eval(image, size)
  return image_ops.fix_shape(image, *size)


def center_on_zero(images):
  """Return images in [0, 1], of any shape, as images in [-1, 1]."""
  return (images - 0.5) * 2.0


def _distort_for_train(image, size, *, seed, fast_mode, bbox):
  """Return a random part of the image, perhaps mirrored, in random colours."""
  window_seed, resize_seed, mirror_seed, colour_seed = image_ops.split_seed(seed, 4)
  choose_window = functools.partial(image_ops.distorted_window, seed=window_seed, bbox=bbox)
  image = image_ops.decode_window(image, choose_window, exact=False)
  image = image_ops.mirror_if(image, image_ops.draws(mirror_seed, 1)[0] < 0.5)
  image = tf.image.convert_image_dtype(image, tf.float32)
  image = _resize(image, size, _FAST_METHODS if fast_mode else _METHODS, seed=resize_seed)
  return _distort_color(image, _FAST_ORDERS if fast_mode else _ORDERS, seed=colour_seed)


def _crop_for_eval(image, size):
  """Return the central part of the image."""
  choose_window = functools.partial(image_ops.central_window, fraction=0.875)
  image = image_ops.decode_window(image, choose_window)
  image = tf.image.convert_image_dtype(image, tf.float32)
  return image_ops.resize(image, *size)


def _resize(image, size, methods, *, seed):
  """Return the image resized to `size` by a random one of `methods`."""
  return _apply_one([functools.partial(image_ops.resize, image, *size, method)
                     for method in methods], seed=seed)


def _distort_color(image, orders, *, seed):
  """Return the image, in [0, 1], after the distortions of a random one of `orders`."""
  order_seed, *seeds = image_ops.split_seed(seed, 1 + len(_DISTORTIONS))
  seed_of = dict(zip(_DISTORTIONS, seeds))

  def distort(order):
    distorted = image
    for name in order:
      distorted = _DISTORTIONS[name](distorted, seed_of[name])
    return distorted

  distorted = _apply_one([functools.partial(distort, order) for order in orders],
                         seed=order_seed)
  return tf.clip_by_value(distorted, 0.0, 1.0)


def _apply_one(functions, *, seed):
  """Return the result of a random one of `functions`, which take no arguments."""
  if len(functions) == 1:
    return functions[0]()
  index = tf.random.stateless_uniform([], seed, 0, len(functions), tf.int32)
  return tf.switch_case(index, functions)
