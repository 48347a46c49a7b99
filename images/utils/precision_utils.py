"""Half-precision compute over float32 variables.

Variables, batch-norm statistics, regularization losses and checkpoints stay float32;
layers see a variable through a cast to the dtype of their input.
"""
import functools

from absl import logging

from images.utils import device_utils
from images.utils.tf1 import tf

# Flags in /proc/cpuinfo of CPUs that multiply bfloat16 (x86 and Arm).
_BFLOAT16_CPU_FLAGS = {'avx512_bf16', 'amx_bf16', 'bf16'}
# Those of Intel CPUs that do so with AMX, and without AMX at half the speed of float32.
_BUILT_FOR_AMX = {'GenuineIntel', 'avx512_fp16'}


def compute_dtype(use_fp16, half_dtype='auto'):
  """Return the dtype to compute in: tf.float32, tf.float16 or tf.bfloat16.

  Args:
    use_fp16: bool, whether half precision is wanted.
    half_dtype: 'float16' or 'bfloat16' for that dtype; 'auto' for float16 on a GPU, and on a CPU
      for bfloat16 if it is faster there than float32, else for float32 with a warning: float16 on a
      CPU is some 90 times slower than float32.
  """
  if not use_fp16:
    return tf.float32
  if half_dtype != 'auto':
    return tf.as_dtype(half_dtype)
  if device_utils.accelerator():
    return tf.float16
  reason = _why_not_bfloat16(device_utils.cpu_flags())
  if not reason:
    return tf.bfloat16
  logging.warning('--use_fp16: this CPU %s; computing in float32 (--half_dtype=bfloat16 forces '
                  'half precision)', reason)
  return tf.float32


def _why_not_bfloat16(cpu_flags):
  """Return why a CPU is slower with bfloat16 than with float32; None if it is not."""
  if not _BFLOAT16_CPU_FLAGS & cpu_flags:
    return 'has no half-precision instructions'
  if cpu_flags >= _BUILT_FOR_AMX and 'amx_bf16' not in cpu_flags:
    return ('multiplies bfloat16 at half the speed of float32, as the virtual machine or the '
            'kernel hides its matrix unit (AMX)')
  return None


def _float32_getter(getter, name, shape=None, dtype=None, **kwargs):
  """Create a float variable as float32; return it, or its cast to the wanted dtype."""
  if dtype is None or not tf.as_dtype(dtype).is_floating:
    return getter(name, shape=shape, dtype=dtype, **kwargs)
  variable = getter(name, shape=shape, dtype=tf.float32, **kwargs)
  return variable if dtype == tf.float32 else tf.cast(variable, dtype)


def computing_in(dtype, network_fn):
  """Return `network_fn` as a function that computes in `dtype` over float32 variables.

  Args:
    dtype: tf.float32, tf.float16 or tf.bfloat16.
    network_fn: function (images, **kwargs) to (logits, end_points); its outputs are in
      `dtype`.
  """
  @functools.wraps(network_fn)
  def compute(images, **kwargs):
    with tf.variable_scope(tf.get_variable_scope(), custom_getter=_float32_getter):
      return network_fn(tf.cast(images, dtype), **kwargs)
  return compute


def float32_regularizers(arg_scope):
  """Return a TF-Slim arg scope whose regularizers see the float32 variables.

  A layer passes its regularizer what the variable getter returned. In half precision that is a
  cast, which some layers also reshape, and the sum of squares of a large kernel would lose its
  digits.
  """
  def of_variable(regularizer):
    def regularize(weights):
      while weights.dtype != tf.float32 and weights.op.type in ('Cast', 'Reshape'):
        weights = weights.op.inputs[0]
      return regularizer(weights)
    return regularize

  return {layer: {key: of_variable(value) if key.endswith('_regularizer') and value else value
                  for key, value in arguments.items()}
          for layer, arguments in arg_scope.items()}


def regularization_loss():
  """Return the sum of all regularization losses in float32.

  tf.losses.get_regularization_loss() would need losses of the same dtype, but a network may have
  made some of its own in half precision.
  """
  losses = tf.losses.get_regularization_losses()
  return tf.add_n([tf.cast(loss, tf.float32) for loss in losses]) if losses else tf.constant(0.0)
