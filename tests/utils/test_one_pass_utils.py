"""One pass makes the numbers that TensorFlow's operations make one after the other."""
import numpy as np
import pytest

from images.utils import device_utils, one_pass_utils
from images.utils.tf1 import tf

SHAPE = [4, 3, 5, 7]


def numbers(seed):
  """Return numbers, of which some sums are zero and one is not a number."""
  values = np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32)
  values[0, 0] = 0
  values[1, 1, 1, 1] = np.nan
  return values


def in_float32(*tensors):
  return [tf.cast(tensor, tf.float32) for tensor in tensors]


@pytest.mark.parametrize('dtype', [tf.float32, tf.bfloat16])
def test_rectified_sum(dtype):
  with tf.Graph().as_default() as graph, tf.Session() as session:
    inputs = [tf.constant(numbers(seed), dtype) for seed in (1, 2)]
    factors = [tf.constant(np.nan_to_num(numbers(seed)), dtype) for seed in (3, 4)]
    outputs = one_pass_utils.rectified_sum(*inputs)
    gradients = tf.gradients(outputs, inputs, factors)
    compiled = [op for op in graph.get_operations() if op.type.endswith('PartitionedCall')]
    assert len(compiled) == 2
    assert not [op for op in graph.get_operations() if op.type in ('AddN', 'Relu', 'ReluGrad')]
    expected_output = tf.nn.relu(inputs[0] + inputs[1])
    both = factors[0] + factors[1]
    found, expected = session.run([
        in_float32(*outputs, *gradients),
        in_float32(expected_output, expected_output, both, both)])
  assert np.isnan(expected[0]).sum() == 1
  is_on = expected[0] > 0
  assert 0 < is_on.sum() < is_on.size
  for tensor, values in zip(found[:2], expected[:2]):
    np.testing.assert_array_equal(tensor, values)
  for tensor, values in zip(found[2:], expected[2:]):
    np.testing.assert_array_equal(tensor, np.where(is_on, values, 0))


def test_one_function_for_all_of_the_same_shape():
  with tf.Graph().as_default() as graph:
    net = tf.ones(SHAPE)
    for _ in range(3):
      net, _ = one_pass_utils.rectified_sum(net, net)
    one_pass_utils.rectified_sum(*[tf.ones([2, 3])] * 2)
    assert len(graph.as_graph_def().library.function) == 2


@pytest.mark.parametrize(('shape', 'expected'), [
    ([16, 14, 14, 1024], True), ([2**21], True), ([2**21 - 1], False), ([None, 56, 56, 256], False),
])
def test_where_a_processor_gains(shape, expected, monkeypatch):
  for vendor, in_float32_too in [('GenuineIntel', expected), ('AuthenticAMD', False)]:
    monkeypatch.setattr(device_utils, 'cpu_flags', lambda words={vendor}: words)
    assert one_pass_utils.is_faster(placeholder(tf.float32, shape)) == in_float32_too
    assert one_pass_utils.is_faster(placeholder(tf.bfloat16, shape)) == expected
  monkeypatch.setattr(device_utils, 'accelerator', lambda: '/gpu:0')
  assert not one_pass_utils.is_faster(placeholder(tf.bfloat16, shape))


def placeholder(dtype, shape):
  with tf.Graph().as_default():
    return tf.placeholder(dtype, shape)
