"""Rectifiers by bits make the numbers that TensorFlow makes of bfloat16."""
import numpy as np
import pytest

from images.utils import gradient_utils, rectifier_utils
from images.utils.tf1 import tf

VALUES = [-np.inf, -3, -1e-9, -0.0, 0, 1e-9, 3, 5.96875, 6, 6.03125, np.inf]
SLOPES = np.arange(-5, 6) + 0.5


@pytest.mark.parametrize(('rectifier', 'highest'), [
    (rectifier_utils.relu, np.inf), (rectifier_utils.relu6, 6)])
def test_numbers_and_gradients(rectifier, highest):
  with tf.Graph().as_default(), tf.Session() as session:
    inputs = tf.constant(VALUES, tf.bfloat16)
    outputs = rectifier(inputs)
    [gradient] = tf.gradients(outputs, inputs, tf.constant(SLOPES, tf.bfloat16))
    assert outputs.dtype == gradient.dtype == tf.bfloat16
    found = session.run([tf.cast(net, tf.float32) for net in (inputs, outputs, gradient)])
  np.testing.assert_array_equal(found[1], np.clip(found[0], 0, highest))
  passes = (found[0] > 0) & ((found[0] < highest) | (highest == np.inf))
  np.testing.assert_array_equal(found[2], np.where(passes, SLOPES, 0))


@pytest.mark.parametrize(('rectifier', 'expected'), [
    (rectifier_utils.relu, [np.nan, 0]), (rectifier_utils.relu6, [6, 0])])
def test_what_is_not_a_number(rectifier, expected):
  with tf.Graph().as_default(), tf.Session() as session:
    nan = tf.bitcast(tf.constant([0x7fc0, 0xffc0], tf.uint16), tf.bfloat16)
    np.testing.assert_array_equal(session.run(tf.cast(rectifier(nan), tf.float32)), expected)


@pytest.mark.parametrize('dtype', [tf.float32, tf.float16, tf.bfloat16])
def test_the_gradient_of_a_rectifier_of_tensorflow(dtype):
  with tf.Graph().as_default() as graph, tf.Session() as session:
    with gradient_utils.fast_gradients():
      inputs = tf.constant(VALUES, dtype)
      [gradient] = tf.gradients(tf.nn.relu(inputs), inputs, tf.constant(SLOPES, dtype))
    assert gradient.dtype == dtype
    [masking] = [op for op in graph.get_operations() if op.type == 'ReluGrad']
    assert masking.inputs[0].dtype == (tf.int16 if dtype == tf.bfloat16 else dtype)
    found, positive = session.run([tf.cast(gradient, tf.float32), inputs > 0])
  assert positive.sum() >= 5
  np.testing.assert_array_equal(found, np.where(positive, SLOPES, 0))


def test_a_gradient_is_not_made_in_place():
  """Its inputs are needed after it."""
  with tf.Graph().as_default() as graph:
    with gradient_utils.fast_gradients():
      inputs = tf.zeros([3], tf.bfloat16)
      tf.gradients(tf.nn.relu(inputs), inputs)
    [masking] = [op for op in graph.get_operations() if op.type == 'ReluGrad']
    [keeping] = masking.outputs[0].consumers()
    assert set(masking.inputs) < set(keeping.inputs)
