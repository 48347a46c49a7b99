"""The gradients are those of the sum over pixels and channels that a convolution is."""
import numpy as np
import pytest

from images.utils import device_utils, winograd_utils
from images.utils.tf1 import tf


def expected_gradients(images, filters, gradient, padding):
  """Return them in float64: each pixel of an output saw 3 x 3 of the images."""
  rows, columns = gradient.shape[1:3]
  after = [out + 2 - size - before for out, size, before in zip(
      (rows, columns), images.shape[1:3], padding)]
  around = [(0, 0), (padding[0], after[0]), (padding[1], after[1]), (0, 0)]
  padded = np.pad(images.astype(float), around)
  of_padded, of_filters = np.zeros_like(padded), np.zeros(filters.shape)
  for y in range(3):
    for x in range(3):
      seen = np.s_[:, y:y + rows, x:x + columns]
      of_padded[seen] += gradient @ filters[y, x].astype(float).T
      of_filters[y, x] = np.einsum('nhwc,nhwd->cd', padded[seen], gradient)
  height, width = images.shape[1:3]
  return of_padded[:, padding[0]:, padding[1]:][:, :height, :width], of_filters


@pytest.fixture(params=['avx2', 'avx512bw'])
def vectors(request, monkeypatch):
  """Make the processor one of the two kinds that what is computed in between differs for."""
  monkeypatch.setattr(device_utils, 'cpu_flags', lambda: {'avx2', request.param})


@pytest.mark.usefixtures('vectors')
@pytest.mark.parametrize(('size', 'padding'), [
    ((8, 8), 'SAME'), ((7, 13), 'SAME'), ((1, 2), 'SAME'), ((9, 6), 'VALID'), ((3, 3), 'VALID'),
    ((3, 14), 'VALID')])
@pytest.mark.parametrize('batch', [2, None])
def test_gradients(size, padding, batch):
  numbers = np.random.default_rng(1)
  outputs, before = (size, (1, 1)) if padding == 'SAME' else ([n - 2 for n in size], (0, 0))
  values = [numbers.normal(size=shape).astype(np.float32) for shape in (
      [2, *size, 5], [3, 3, 5, 4], [2, *outputs, 4])]
  with tf.Graph().as_default(), tf.Session() as session:
    tensors = [tf.placeholder(tf.float32, shape) for shape in (
        [batch, *size, 5], [3, 3, 5, 4], [batch, *outputs, 4])]
    gradients = winograd_utils.gradients(*tensors, before)
    assert [found.shape.as_list() for found in gradients] == [[batch, *size, 5], [3, 3, 5, 4]]
    found = session.run(gradients, dict(zip(tensors, values)))
  for ours, expected in zip(found, expected_gradients(*values, before)):
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_gradients_wait_for_their_turn():
  """None is computed, and takes memory, before the gradient of the outputs is there."""
  with tf.Graph().as_default() as graph, tf.Session() as session:
    images, filters = tf.ones([1, 4, 4, 2]), tf.ones([3, 3, 2, 2])
    before = len(graph.get_operations())
    missing = tf.py_func(lambda: 1 / 0, [], tf.float32)
    missing.set_shape([1, 4, 4, 2])
    winograd_utils.gradients(images, filters, missing, (1, 1))
    for op in graph.get_operations()[before:]:
      if op.type == 'BatchMatMulV2':
        with pytest.raises(tf.errors.OpError, match='ZeroDivisionError'):
          session.run(op)


@pytest.mark.usefixtures('vectors')
def test_convolution():
  numbers = np.random.default_rng(2)
  images, filters, factors = [numbers.normal(size=shape).astype(np.float32) for shape in (
      [2, 7, 13, 5], [3, 3, 5, 4], [2, 7, 13, 4])]
  with tf.Graph().as_default(), tf.Session() as session:
    inputs = [tf.constant(images), tf.constant(filters)]
    outputs = winograd_utils.convolution(*inputs)
    assert outputs.shape == [2, 7, 13, 4]
    found = session.run([outputs, *tf.gradients(outputs, inputs, tf.constant(factors))])
  padded = np.pad(images.astype(float), [(0, 0), (1, 1), (1, 1), (0, 0)])
  expected = sum(padded[:, y:y + 7, x:x + 13] @ filters[y, x] for y in range(3) for x in range(3))
  for ours, theirs in zip(found, (expected, *expected_gradients(images, filters, factors, (1, 1)))):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())


@pytest.mark.parametrize(('size', 'channels', 'forward', 'expected'), [
    ((28, 6), (72, 72), False, True), ((28, 6), (71, 72), False, False),
    ((6, 28), (60, 90), False, True), ((29, 6), (72, 72), False, False),
    ((2, 4), (72, 72), False, True), ((2, 3), (900, 900), False, False),
    ((5, 6), (900, 900), False, False), ((1, 1), (900, 900), False, False),
    ((8, 5), (72, 72), False, True), ((56, 56), (140, 140), False, True),
    ((7, 7), (107, 108), True, False), ((7, 7), (108, 108), True, True),
    ((32, 7), (119, 119), True, False), ((32, 7), (120, 120), True, True)])
def test_where_a_processor_gains_in_float32(size, channels, forward, expected, monkeypatch):
  monkeypatch.setattr(device_utils, 'cpu_flags', lambda: {'avx2', 'avx512bw'})
  with tf.Graph().as_default():
    for dtype, kernel, gains in [(tf.float32, (3, 3), expected), (tf.float16, (3, 3), False),
                                 (tf.float32, (3, 1), False), (tf.float32, (5, 5), False)]:
      images = tf.zeros([1, 1, 1, 1], dtype)
      assert winograd_utils.is_faster(images, [*kernel, *channels], size,
                                      forward=forward) == gains


@pytest.mark.parametrize(('size', 'channels', 'forward', 'expected'), [
    ((7, 8), (64, 64), False, True), ((7, 8), (63, 64), False, False),
    ((6, 128), (64, 64), False, True), ((130, 6), (64, 64), False, False),
    ((2, 3), (900, 900), False, False), ((7, 7), (107, 108), True, False),
    ((7, 7), (108, 108), True, True), ((29, 28), (108, 108), True, False)])
def test_where_a_processor_with_avx2_gains_in_float32(
    size, channels, forward, expected, monkeypatch):
  monkeypatch.setattr(device_utils, 'cpu_flags', lambda: {'avx2'})
  with tf.Graph().as_default():
    assert winograd_utils.is_faster(
        tf.zeros([1, 1, 1, 1]), [3, 3, *channels], size, forward=forward) == expected
    assert not winograd_utils.is_faster(tf.zeros([1, 1, 1, 1], tf.bfloat16), [3, 3, 64, 64], (7, 8))


@pytest.mark.parametrize(('size', 'channels', 'expected'), [
    ((12, 12), (288, 288), True), ((12, 12), (287, 288), False), ((11, 13), (900, 900), False),
    ((14, 14), (900, 900), False), ((29, 28), (290, 290), True), ((29, 28), (289, 289), False),
    ((26, 26), (288, 288), True), ((8, 16), (900, 900), False)])
def test_where_a_processor_gains_in_bfloat16(size, channels, expected, monkeypatch):
  with tf.Graph().as_default():
    images = tf.zeros([1, 1, 1, 1], tf.bfloat16)
    for words, gains in [({'avx512_bf16'}, expected), ({'avx512_bf16', 'amx_bf16'}, False)]:
      monkeypatch.setattr(device_utils, 'cpu_flags', lambda words=words: words)
      assert winograd_utils.is_faster(images, [3, 3, *channels], size) == gains
      assert not winograd_utils.is_faster(images, [3, 1, *channels], size)
