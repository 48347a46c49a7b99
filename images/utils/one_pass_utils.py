"""Several operations on each number of a large tensor, in one pass over memory.

Some processors take longer to read and write such tensors than to compute what is asked of each
number. TensorFlow's operations do so one after the other, mostly in place; XLA compiles them to
one loop, which makes the same numbers, in new memory.
"""
from images.utils import device_utils
from images.utils.tf1 import tf

# Numbers in a tensor from which on a processor gains, by measurement.
_LARGE = 2**21
# Whose processors gain in float32 too.
_VENDOR = 'GenuineIntel'


def is_faster(tensor):
  """Return whether a processor gains by what is here, for tensors like `tensor`.

  In float32 new memory takes others than Intel's longer than one pass saves.
  """
  return (not device_utils.accelerator() and (tensor.shape.num_elements() or 0) >= _LARGE
          and (tensor.dtype != tf.float32 or _VENDOR in device_utils.cpu_flags()))


def _in_one_pass(function):
  """Decorate a function of tensors: let XLA compile it, once for all tensors of the same shapes."""
  return tf.function(function, jit_compile=True, autograph=False)


@tf.custom_gradient
def rectified_sum(one, other):
  """Return relu(one + other) twice: the gradients of both are added while they are rectified.

  Args:
    one, other: tensors of the same shape and floating dtype.

  Returns:
    Two tensors like these, of the same numbers.
  """
  output = _rectified_sum(one, other)

  def gradient(*of_outputs):
    return [_sum_where_positive(output, *of_outputs)] * 2

  return [output] * 2, gradient


@_in_one_pass
def _rectified_sum(one, other):
  return tf.nn.relu(one + other)


@_in_one_pass
def _sum_where_positive(condition, one, other):
  return tf.where(condition > 0, one + other, tf.zeros_like(one))
