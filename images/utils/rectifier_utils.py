"""Computes bfloat16 rectifiers and their gradients on the bits, as integers, for CPUs.

TensorFlow converts each element to float32 and back. The bits of positive elements are positive
integers in the same order.
"""
import functools

import numpy as np

from images.utils.tf1 import tf

# The name of the gradient of Relu, for tf.Graph.gradient_override_map().
GRADIENT = 'ReluOfBits'
_BITS_OF_6 = np.array(6, tf.bfloat16.as_numpy_dtype).view(np.int16)


@tf.custom_gradient
def relu(inputs):
  """Return tf.nn.relu() of bfloat16 `inputs`, except that a NaN with its sign bit set becomes 0."""
  output = tf.bitcast(tf.nn.relu(tf.bitcast(inputs, tf.int16)), tf.bfloat16)
  return output, functools.partial(_where_positive, output)


@tf.custom_gradient
def relu6(inputs):
  """Return tf.nn.relu6() of bfloat16 `inputs`, except that a NaN becomes 0 or 6."""
  bits = tf.raw_ops.ClipByValue(t=tf.bitcast(inputs, tf.int16), clip_value_min=np.int16(0),
                                clip_value_max=_BITS_OF_6)
  output = tf.bitcast(bits, tf.bfloat16)
  return output, lambda gradient: tf.raw_ops.Relu6Grad(gradients=gradient, features=output)


@tf.RegisterGradient(GRADIENT)
def _gradient(operation, gradient):
  """Return the gradient of the input of a Relu: that of its output where this is above zero."""
  output = operation.outputs[0]
  if gradient.dtype != tf.bfloat16:
    return tf.raw_ops.ReluGrad(gradients=gradient, features=output)
  return _where_positive(output, gradient)


def _where_positive(output, gradient):
  """Return `gradient` where `output` is above zero, and else zero; both are bfloat16."""
  bits = [tf.bitcast(tensor, tf.int16) for tensor in (gradient, output)]
  masked = tf.raw_ops.ReluGrad(gradients=bits[0], features=bits[1])
  # As identity_n() needs the inputs afterwards, ReluGrad does not overwrite them, which would take
  # seven times as long.
  return tf.bitcast(tf.identity_n([masked, *bits])[0], tf.bfloat16)
