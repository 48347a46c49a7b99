"""The gradients are the numbers of TensorFlow's own."""
import contextlib

import numpy as np
import pytest

from images.utils import device_utils, gradient_utils
from images.utils.tf1 import tf


def build(dtype=tf.bfloat16, size=(7, 6), kernel=(3, 3), channels=(5, 4), **options):
  """Build a convolution of small integers; return the gradients of its images and filter."""
  options = {'strides': 1, 'padding': 'SAME', **options}
  numbers = np.random.default_rng(1)

  def integers(*shape):
    return tf.constant(numbers.integers(-1, 2, shape), dtype)

  images, filters = integers(2, *size, channels[0]), integers(*kernel, *channels)
  output = tf.nn.conv2d(images, filters, **options)
  return tf.gradients(output, [images, filters], integers(*output.shape.as_list()))


def kinds():
  """Return the types of the operations in the graph."""
  return {operation.type for operation in tf.get_default_graph().get_operations()}


def own_kinds():
  """Return of which inputs a gradient in the graph is TensorFlow's own: 'Input', 'Filter'."""
  return {kind for kind in ('Input', 'Filter') if f'Conv2DBackprop{kind}' in kinds()}


def gradients_in(dtype, case):
  """Return the values of build(), and which of them are TensorFlow's own."""
  with tf.Graph().as_default(), tf.Session() as session:
    with gradient_utils.fast_gradients():
      gradients = build(dtype, **case)
    assert {gradient.dtype for gradient in gradients} == {dtype}
    return session.run([tf.cast(g, tf.float32) for g in gradients]), own_kinds()


def expected_of(case):
  """Return the gradients that TensorFlow computes in float32."""
  with tf.Graph().as_default(), tf.Session() as session:
    gradients = build(**{**case, 'dtype': tf.float32})
    assert own_kinds() == {'Input', 'Filter'}
    return session.run(gradients)


needs_avx512 = pytest.mark.skipif(
    'avx512f' not in device_utils.cpu_flags(), reason='TensorFlow has gradients of dilated '
    'convolutions in bfloat16 with AVX-512 only: run it on a processor that has it')
WHOLE = {'kernel': (7, 6), 'padding': 'VALID'}


@pytest.fixture(autouse=True)
def words(monkeypatch):
  """Return the words of the processor, a set to add to: without AMX, whatever this one is."""
  found = {'avx512_bf16'}
  monkeypatch.setattr(device_utils, 'cpu_flags', lambda: found)
  return found


@pytest.mark.parametrize(('dtype', 'case', 'own'), [
    (tf.float32, WHOLE, set()),
    (tf.float32, {'kernel': (1, 1), 'size': (1, 1)}, set()),
    (tf.float32, {'kernel': (1, 1), 'size': (8, 8)}, set()),
    (tf.float32, {'kernel': (1, 1), 'size': (8, 9)}, {'Input'}),
    (tf.float32, {'kernel': (1, 1), 'size': (57, 56)}, {'Input'}),
    (tf.float32, {}, {'Input', 'Filter'}),
    (tf.float32, {'kernel': (1, 1), 'strides': (2, 1)}, {'Input', 'Filter'}),
    (tf.bfloat16, WHOLE, set()),
    (tf.bfloat16, {'kernel': (1, 1), 'size': (14, 14)}, set()),
    (tf.bfloat16, {'kernel': (1, 1), 'size': (15, 14)}, {'Input', 'Filter'}),
    (tf.bfloat16, {'kernel': (7, 6)}, {'Input'}),
    (tf.bfloat16, {}, {'Input'}),
    (tf.bfloat16, {'kernel': (1, 7)}, {'Input'}),
    (tf.bfloat16, {'kernel': (2, 4)}, {'Input'}),
    (tf.bfloat16, {'kernel': (3, 2), 'padding': 'VALID', 'size': (10, 9)}, {'Input'}),
    (tf.bfloat16, {'size': (9, 9)}, {'Input'}),
    (tf.bfloat16, {'kernel': (2, 7), 'size': (14, 17)}, {'Input'}),
    (tf.bfloat16, {'kernel': (5, 1), 'size': (17, 14)}, {'Input'}),
    (tf.bfloat16, {'kernel': (4, 3), 'size': (16, 15), 'padding': 'VALID'}, {'Input'}),
    (tf.bfloat16, {'size': (17, 17)}, {'Input'}),
    (tf.bfloat16, {'size': (18, 17)}, {'Input', 'Filter'}),
    (tf.bfloat16, {'strides': 2}, {'Input'}),
    (tf.bfloat16, {'strides': 2, 'size': (8, 9)}, {'Input'}),
    (tf.bfloat16, {'strides': (2, 1), 'padding': 'VALID'}, {'Input'}),
    (tf.bfloat16, {'strides': 2, 'size': (34, 35), 'padding': 'VALID'}, {'Input'}),
    (tf.bfloat16, {'strides': (1, 2), 'kernel': (4, 3), 'size': (11, 15)}, {'Input'}),
    (tf.bfloat16, {'strides': (3, 2), 'kernel': (4, 5), 'size': (14, 12)}, {'Input'}),
    (tf.bfloat16, {'strides': (2, 1), 'kernel': (1, 1)}, {'Input'}),
    (tf.bfloat16, {'strides': 2, **WHOLE}, set()),
    (tf.bfloat16, {'strides': 2, 'size': (35, 34)}, {'Input', 'Filter'}),
    (tf.float32, {'strides': 2}, {'Input', 'Filter'}),
    (tf.float32, {'dilations': 2}, {'Input', 'Filter'}),
    pytest.param(tf.bfloat16, {'dilations': 2}, {'Input', 'Filter'}, marks=needs_avx512),
    (tf.bfloat16, {'padding': [[0, 0], [1, 0], [0, 1], [0, 0]]}, {'Input', 'Filter'}),
])
def test_which_gradients_are_products(dtype, case, own):
  """Exactly: bfloat16 holds such integers, and every sum of them."""
  found, own_found = gradients_in(dtype, case)
  assert own_found == own
  for ours, theirs in zip(found, expected_of(case)):
    assert np.count_nonzero(theirs) > theirs.size / 3
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(('dtype', 'size', 'channels', 'is_flipped'), [
    (tf.float32, (2, 2), (5, 4), True), (tf.float32, (1, 1), (5, 4), False),
    (tf.float32, (2, 2), (4, 5), False), (tf.bfloat16, (2, 2), (5, 4), False)])
def test_products_have_fewer_rows_than_columns_in_float32(dtype, size, channels, is_flipped):
  with tf.Graph().as_default(), tf.Session() as session:
    images = tf.constant(np.arange(2 * size[0] * size[1] * channels[0]), dtype)
    images = tf.reshape(images, [2, *size, channels[0]])
    filters = tf.zeros([1, 1, *channels], dtype)
    with gradient_utils.fast_gradients():
      output = tf.nn.conv2d(images, filters, 1, 'SAME')
    [gradient] = tf.gradients(output, [filters])
    assert ('Transpose' in kinds()) == is_flipped
    found, pixels = session.run([tf.cast(gradient, tf.float32), tf.cast(images, tf.float32)])
  np.testing.assert_array_equal(found[0, 0], np.repeat(
      pixels.sum((0, 1, 2))[:, np.newaxis], channels[1], 1))


@pytest.mark.parametrize(('case', 'multiplies_less'), [
    ({}, True),
    ({'channels': (60, 90)}, True),
    ({'channels': (60, 89)}, False),
    ({'size': (5, 28)}, True),
    ({'size': (29, 5)}, False),
    ({'size': (9, 30), 'padding': 'VALID'}, True),
    ({'size': (29, 5), 'channels': (73, 73)}, True),
    ({'kernel': (3, 5)}, False),
    ({'strides': 2}, False),
    ({'dilations': 2}, False),
    ({'size': (3, 3), 'padding': 'VALID'}, False),
    ({'dtype': tf.bfloat16}, False),
    ({'dtype': tf.bfloat16, 'size': (12, 13), 'channels': (300, 280)}, True),
    ({'dtype': tf.bfloat16, 'size': (13, 15), 'channels': (300, 280), 'padding': 'VALID'}, False),
])
def test_which_gradients_take_fewer_multiplications(case, multiplies_less):
  case = {'dtype': tf.float32, 'channels': (72, 72), **case}
  with tf.Graph().as_default(), tf.Session() as session:
    with gradient_utils.fast_gradients():
      gradients = build(**case)
    assert ('BatchMatMulV2' in kinds()) == multiplies_less
    if multiplies_less:
      assert not own_kinds()
      assert {gradient.dtype for gradient in gradients} == {case['dtype']}
      rounding = 2**-9 if case['dtype'] == tf.bfloat16 else 0
      found = session.run([tf.cast(gradient, tf.float32) for gradient in gradients])
      for ours, theirs in zip(found, expected_of(case)):
        np.testing.assert_allclose(ours, theirs, rtol=rounding, atol=1e-5 * np.abs(theirs).max())


def test_which_of_filters_are_sums_and_which_convolutions():
  """The others of what is not TensorFlow's own."""
  for case, is_sum in [({'size': (8, 8)}, True), ({'size': (9, 8)}, False),
                       ({'size': (16, 15), 'strides': 2}, True),
                       ({'size': (17, 16), 'strides': 2}, False),
                       ({'size': (9, 8), 'channels': (180, 180)}, True),
                       ({'size': (8, 9), 'channels': (120, 359)}, False),
                       ({'size': (8, 9), 'channels': (120, 360)}, True),
                       ({'size': (17, 18), 'channels': (180, 180), 'strides': 2}, True)]:
    with tf.Graph().as_default():
      with gradient_utils.fast_gradients():
        build(**case)
      assert ('MatMul' in kinds()) == is_sum


@pytest.mark.parametrize(('dtype', 'case', 'own'), [
    (tf.bfloat16, {'kernel': (1, 1), 'size': (57, 56)}, {'Input'}),
    (tf.bfloat16, {'kernel': (1, 1), 'size': (14, 14)}, set()),
    (tf.bfloat16, {'size': (14, 14)}, {'Input'}),
    (tf.bfloat16, {'size': (14, 15)}, {'Input', 'Filter'}),
    (tf.bfloat16, {'strides': 2, 'size': (35, 34), 'padding': 'VALID'}, {'Input'}),
    (tf.bfloat16, {'strides': 2, 'size': (33, 34)}, {'Input'}),
    (tf.bfloat16, {'strides': 2, 'size': (36, 34)}, {'Input', 'Filter'}),
    (tf.bfloat16, {'strides': (1, 2), 'kernel': (4, 3), 'size': (11, 15)}, {'Input'}),
    (tf.bfloat16, {'strides': (3, 2), 'kernel': (4, 5), 'size': (14, 12)}, {'Input'}),
    (tf.bfloat16, {'strides': (3, 2), 'kernel': (1, 1), 'size': (7, 7)}, {'Input'}),
    (tf.bfloat16, {'strides': 3, 'kernel': (2, 1), 'size': (9, 8), 'padding': 'VALID'}, {'Input'}),
    (tf.float32, {'size': (14, 14)}, {'Input', 'Filter'}),
])
def test_which_are_products_where_a_processor_multiplies_matrices(dtype, case, own, words):
  words.add('amx_bf16')
  found, own_found = gradients_in(dtype, case)
  assert own_found == own
  with tf.Graph().as_default():
    with gradient_utils.fast_gradients():
      build(dtype, **case)
    assert 'Transpose' not in kinds()  # None is a convolution with batch and channels exchanged.
  for ours, theirs in zip(found, expected_of(case)):
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(('dtype', 'case', 'own'), [
    (tf.float32, {'size': (17, 17)}, {'Input'}),
    (tf.float32, {'size': (18, 17)}, {'Input', 'Filter'}),
    (tf.float32, {'kernel': (1, 7), 'size': (14, 17)}, {'Input'}),
    (tf.float32, {'strides': 2, 'size': (71, 72)}, {'Input'}),
    (tf.float32, {'strides': 2, 'size': (73, 72)}, {'Input', 'Filter'}),
    (tf.float32, {'strides': (1, 2), 'kernel': (4, 3), 'size': (36, 35)}, {'Input'}),
    (tf.float32, {'kernel': (1, 1), 'size': (8, 8)}, set()),
    (tf.float32, {'kernel': (1, 1), 'size': (8, 8), 'channels': (5, 1024)}, {'Filter'}),
    (tf.float32, {'kernel': (1, 1), 'size': (57, 56), 'channels': (5, 5)}, set()),
    (tf.float32, {'kernel': (1, 1), 'size': (9, 8), 'channels': (4, 5)}, {'Input'}),
    (tf.bfloat16, {'size': (18, 18)}, {'Input', 'Filter'}),
    (tf.bfloat16, {'strides': 2, 'size': (36, 36)}, {'Input', 'Filter'}),
])
def test_which_are_products_with_avx2(dtype, case, own, words):
  words.add('avx2')
  found, own_found = gradients_in(dtype, case)
  assert own_found == own
  for ours, theirs in zip(found, expected_of(case)):
    np.testing.assert_array_equal(ours, theirs)


def test_which_gradients_take_fewer_multiplications_with_avx2(words):
  words.add('avx2')
  for size, channels, multiplies_less in [((35, 34), 64, True), ((35, 34), 63, False)]:
    with tf.Graph().as_default():
      with gradient_utils.fast_gradients():
        build(tf.float32, size, channels=(channels, channels))
      assert ('BatchMatMulV2' in kinds()) == multiplies_less


@pytest.mark.parametrize('shape', [[None, None, None, 3], [2, 4, 4, 6], [2, 4, 4, None]])
def test_images_of_unknown_size_or_in_groups(shape):
  with tf.Graph().as_default():
    with gradient_utils.fast_gradients():
      images = tf.placeholder(tf.bfloat16, shape)
      filters = tf.ones([1, 1, 3, 2], tf.bfloat16)
      tf.gradients(tf.nn.conv2d(images, filters, 1, 'SAME'), [images, filters])
    assert own_kinds() == {'Input', 'Filter'}


@pytest.mark.parametrize('dtype', [tf.bfloat16, tf.float32])
@pytest.mark.parametrize(('of_images', 'of_gradient'), [
    ([2, 4, 4, 3], None), ([2, None, None, 3], [2, 4, 4, 2])])
def test_gradients_or_images_of_unknown_shape(of_images, of_gradient, dtype):
  with tf.Graph().as_default():
    with gradient_utils.fast_gradients():
      images = tf.placeholder(dtype, of_images)
      filters = tf.ones([3, 3, 3, 2], dtype)
      output = tf.nn.conv2d(images, filters, 1, 'SAME')
    tf.gradients(output, [images, filters], tf.placeholder(dtype, of_gradient))
    assert own_kinds() == {'Input', 'Filter'}


def test_batches_of_unknown_size():
  with tf.Graph().as_default(), tf.Session() as session:
    with gradient_utils.fast_gradients():
      images = tf.placeholder(tf.bfloat16, [None, 4, 4, 3])
      filters = tf.ones([1, 1, 3, 2], tf.bfloat16)
      gradients = tf.gradients(tf.nn.conv2d(images, filters, 1, 'SAME'), [images, filters])
    assert own_kinds() == set()
    of_images, of_filters = session.run(gradients, {images: np.ones([2, 4, 4, 3])})
  np.testing.assert_array_equal(of_images, np.full([2, 4, 4, 3], 2))
  np.testing.assert_array_equal(of_filters, np.full([1, 1, 3, 2], 32))


@pytest.mark.parametrize(('dtype', 'accelerator'), [
    (tf.float16, None), (tf.bfloat16, '/gpu:0'), (tf.float32, '/gpu:0')])
def test_neither_float16_nor_a_gpu(dtype, accelerator, monkeypatch):
  monkeypatch.setattr(device_utils, 'accelerator', lambda: accelerator)
  with tf.Graph().as_default():
    with gradient_utils.fast_gradients():
      build(dtype, **WHOLE)
    assert own_kinds() == {'Input', 'Filter'}


def depthwise_gradients(dtype, *, kernel, strides, own=False):
  """Return the gradients of a depthwise convolution of small integers, and their operations."""
  numbers = np.random.default_rng(1)

  def integers(*shape):
    return tf.constant(numbers.integers(-1, 2, shape), dtype)

  with tf.Graph().as_default() as graph, tf.Session() as session:
    with contextlib.nullcontext() if own else gradient_utils.fast_gradients():
      images, filters = integers(2, 9, 8, 5), integers(*kernel, 5, 2)
      output = tf.nn.depthwise_conv2d(images, filters, [1, *strides, 1], 'SAME')
    gradients = tf.gradients(output, [images, filters], integers(*output.shape.as_list()))
    assert [gradient.dtype for gradient in gradients] == [dtype, dtype]
    kinds = {op.type.removeprefix('DepthwiseConv2dNativeBackprop'): op.get_attr('T')
             for op in graph.get_operations() if 'Backprop' in op.type}
    return session.run([tf.cast(g, tf.float32) for g in gradients]), kinds


@pytest.mark.parametrize(('dtype', 'case', 'of_images', 'of_filters'), [
    (tf.bfloat16, {'kernel': (3, 3), 'strides': (1, 1)}, tf.bfloat16, tf.bfloat16),
    (tf.bfloat16, {'kernel': (3, 3), 'strides': (2, 2)}, tf.float32, tf.bfloat16),
    (tf.bfloat16, {'kernel': (5, 5), 'strides': (1, 1)}, tf.bfloat16, tf.float32),
    (tf.bfloat16, {'kernel': (3, 5), 'strides': (2, 2)}, tf.float32, tf.float32),
    (tf.float32, {'kernel': (5, 5), 'strides': (2, 2)}, tf.float32, tf.float32),
])
def test_which_gradients_of_depthwise_convolutions_are_in_float32(
    dtype, case, of_images, of_filters):
  found, kinds = depthwise_gradients(dtype, **case)
  assert kinds == {'Input': of_images, 'Filter': of_filters}
  expected, _ = depthwise_gradients(tf.float32, **case, own=True)
  for ours, theirs in zip(found, expected):
    assert np.count_nonzero(theirs) > theirs.size / 3
    np.testing.assert_array_equal(ours, theirs)
