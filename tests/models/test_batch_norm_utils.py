"""Batch norm, however it is made, is that of TF-Slim: variables, collections, numbers."""
import inspect

import numpy as np
import pytest

from images.models import batch_norm_utils
from images.utils import device_utils
from images.utils.tf1 import slim, tf


def _normalize(batch_norm, dtype, channels, *, is_training, shape=(2, 3, 4)):
  """Return what batch norm makes of images, its updates, their dtypes, and the shape it sees."""
  images = np.random.default_rng(1).normal(3, 2, [*shape, channels])
  with tf.Graph().as_default() as graph, tf.Session() as session:
    with slim.arg_scope([slim.batch_norm], is_training=is_training, scale=True, decay=0.75):
      net = batch_norm(tf.constant(images, dtype), activation_fn=tf.nn.relu)
    assert [v.op.name for v in tf.global_variables()] == [
        f'BatchNorm/{name}' for name in ('gamma', 'beta', 'moving_mean', 'moving_variance')]
    [operation] = [op for op in graph.get_operations() if op.type == 'FusedBatchNormV3']
    session.run(tf.global_variables_initializer())
    updates = [op.inputs[1] for op in tf.get_collection(tf.GraphKeys.UPDATE_OPS)]
    assert net.shape == images.shape
    return (*session.run([tf.cast(net, tf.float32), updates]), net.dtype, operation.get_attr('T'),
            operation.inputs[0].shape.as_list()[:3])


@pytest.mark.parametrize(('dtype', 'channels', 'is_training', 'gpu', 'computed_in'), [
    (tf.bfloat16, 24, True, None, tf.float32),
    (tf.bfloat16, 24, True, '/gpu:0', tf.bfloat16),
    (tf.bfloat16, 24, False, None, tf.float32),
    (tf.bfloat16, 32, True, None, tf.bfloat16),
    (tf.float32, 24, True, None, tf.float32),
])
def test_batch_norm_is_that_of_slim(dtype, channels, is_training, gpu, computed_in, monkeypatch):
  monkeypatch.setattr(batch_norm_utils, '_MIN_ELEMENTS', 2 * 3 * 4 * channels)
  monkeypatch.setattr(device_utils, 'accelerator', lambda: gpu)
  found, updates, *kinds = _normalize(batch_norm_utils.batch_norm, dtype, channels,
                                      is_training=is_training)
  in_blocks = is_training and not gpu
  assert kinds == [dtype, computed_in, [6, 2, 2] if in_blocks else [2, 3, 4]]
  expected, expected_updates, *kinds = _normalize(slim.batch_norm, dtype, channels,
                                                  is_training=is_training)
  assert kinds == [dtype, dtype, [2, 3, 4]]
  assert len(updates) == (2 if is_training else 0)
  np.testing.assert_allclose(updates, expected_updates, rtol=1e-5)
  # Rounded once or twice in bfloat16; sums over a batch in another order.
  sums = 1e-5 if in_blocks else 0
  np.testing.assert_allclose(found, expected, rtol=1 / 128 if dtype == tf.bfloat16 else sums,
                             atol=sums)


@pytest.mark.parametrize(('shape', 'channels', 'words', 'seen'), [
    ((1, 3, 3), 3, {'avx2'}, [1, 3, 3]), ((4, 7, 7), 3, {'avx2'}, [49, 2, 2]),
    ((4, 7, 7), 512, {'avx2', 'avx512bw'}, [49, 2, 2]), ((4, 7, 7), 512, {'avx2'}, [196, 1, 1]),
    ((1, 3, 3), 1024, {'avx2'}, [9, 1, 1])])
def test_batch_norm_in_blocks_of_few_pixels(shape, channels, words, seen, monkeypatch):
  monkeypatch.setattr(batch_norm_utils, '_MIN_ELEMENTS', 27)
  monkeypatch.setattr(device_utils, 'cpu_flags', lambda: words)
  *found, _, _, blocks = _normalize(batch_norm_utils.batch_norm, tf.float32, channels,
                                    is_training=True, shape=shape)
  assert (len(found), blocks) == (2, seen)
  for found_of, expected_of in zip(found, _normalize(
      slim.batch_norm, tf.float32, channels, is_training=True, shape=shape)[:2]):
    np.testing.assert_allclose(found_of, expected_of, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(('shape', 'is_training'), [
    ([None, 8, 8, 3], True), ([4, None, 8, 3], True), ([4, 7, 8, 3], True),
    ([4, 8, 8, 3], 'a tensor')])
def test_batch_norm_of_what_is_small_or_not_known_is_plainly_that_of_slim(
    shape, is_training, monkeypatch):
  monkeypatch.setattr(batch_norm_utils, '_MIN_ELEMENTS', 4 * 8 * 8 * 3)
  with tf.Graph().as_default() as graph:
    images = tf.placeholder(tf.float32, shape)
    if is_training == 'a tensor':
      is_training = tf.placeholder(tf.bool, [])
    net = batch_norm_utils.batch_norm(images, is_training=is_training)
    assert net.shape.as_list() == shape
    assert 'Reshape' not in {op.type for op in graph.get_operations()}


def _layer(batch_norm, dtype, arguments):
  """Return what a graph holds of batch norm, and numbers: outputs, gradients, moving averages."""
  images = np.random.default_rng(1).normal(3, 2, [2, 3, 4, 5])
  with tf.Graph().as_default() as graph, tf.Session() as session, \
      slim.arg_scope([slim.batch_norm], decay=0.75):
    inputs = tf.constant(images, dtype)
    net = batch_norm(inputs, **arguments)
    variables = [[(v.name, v.shape, v.dtype.base_dtype) for v in graph.get_collection(key)]
                 for key in (tf.GraphKeys.GLOBAL_VARIABLES, tf.GraphKeys.TRAINABLE_VARIABLES,
                             tf.GraphKeys.MODEL_VARIABLES)]
    # The sum of all squares would be the same with any gamma.
    factors = np.random.default_rng(2).normal(size=net.shape)
    gradients = tf.gradients(net * tf.constant(factors, dtype), [inputs, *tf.trainable_variables()])
    session.run(tf.global_variables_initializer())
    numbers = session.run([net, gradients])
    session.run(tf.get_collection(tf.GraphKeys.UPDATE_OPS))
    averages = session.run([v for v in tf.global_variables() if 'moving' in v.name])
    is_of_keras = any('AssignMovingAvg' in op.name for op in graph.get_operations())
    return (net.dtype, net.shape, variables), [*numbers, averages], is_of_keras


@pytest.mark.parametrize(('arguments', 'dtype', 'is_of_keras'), [
    ({}, tf.float32, False),
    ({}, tf.float16, False),
    ({}, tf.bfloat16, False),
    ({}, tf.float64, True),
    ({'scope': 'norm', 'scale': True, 'epsilon': 1e-2}, tf.float32, False),
    ({'is_training': False, 'scale': True, 'epsilon': 1e-2}, tf.float32, False),
    ({'activation_fn': tf.nn.relu}, tf.float32, False),
    ({'center': False}, tf.float32, True),
    ({'param_initializers': {'beta': tf.ones_initializer()}}, tf.float32, True),
])
def test_the_layer_is_that_of_slim(arguments, dtype, is_of_keras):
  found, numbers, by_keras = _layer(batch_norm_utils.batch_norm, dtype, arguments)
  expected, expected_numbers, _ = _layer(slim.batch_norm, dtype, arguments)
  assert found == expected
  assert by_keras == is_of_keras
  numbers, expected_numbers = (tf.nest.flatten(values) for values in (numbers, expected_numbers))
  assert len(numbers) == len(expected_numbers)
  for ours, theirs in zip(numbers, expected_numbers):
    np.testing.assert_array_equal(ours, theirs)


def test_the_layer_has_the_defaults_of_slim():
  ours, theirs = (inspect.signature(layer).parameters
                  for layer in (batch_norm_utils.layer, slim.batch_norm))
  known = [name for name in ours if name not in ('normalize', 'inputs', 'depth')]
  assert len(known) == 6
  assert [ours[name].default for name in known] == [theirs[name].default for name in known]
