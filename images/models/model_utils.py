"""What the networks share: image sizes and their check, pooling and prediction."""
import functools


def network(*, default_image_size, smallest_image_size=1):
  """Decorate a network function: give it its image sizes and check its images.

  Args:
    default_image_size: integer, height and width in pixels that the published
      weights were trained at; becomes an attribute of the function.
    smallest_image_size: integer, the smallest height and width in pixels that
      leaves every layer at least one position; an attribute too.

  Returns:
    A decorator; the decorated function raises ValueError if its images are not
    a tensor [batch, height, width, channels] or are too small.
  """
  def decorate(function):
    @functools.wraps(function)
    def checked(inputs, *args, **kwargs):
      _check_images(inputs, smallest_image_size, function.__name__)
      return function(inputs, *args, **kwargs)

    checked.default_image_size = default_image_size
    checked.smallest_image_size = smallest_image_size
    return checked
  return decorate


def _check_images(inputs, smallest, name):
  """Raise ValueError unless `inputs` can be images of at least `smallest` pixels."""
  if inputs.shape.rank != 4:
    raise ValueError(f'inputs of {name} must be [batch, height, width, channels], '
                     f'got the shape {inputs.shape}')
  height, width = inputs.shape.as_list()[1:3]
  if min(height or smallest, width or smallest) < smallest:
    raise ValueError(f'inputs of {name} are {height} x {width} pixels, too small: the '
                     f'smallest size is {smallest} x {smallest}; use larger images')
