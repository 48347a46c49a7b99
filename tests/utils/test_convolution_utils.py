"""Gradients of convolutions as matrix products: the same numbers as TensorFlow's own."""
import numpy as np
import pytest

from images.utils import convolution_utils, device_utils
from images.utils.tf1 import tf

OWN = 'Conv2DBackpropFilter'


def build(dtype=tf.bfloat16, size=(7, 6), kernel=(3, 3), **options):
  """Build a convolution of small integers; return the gradients of its images and filter."""
  options = {'strides': 1, 'padding': 'SAME', **options}
  numbers = np.random.default_rng(1)

  def integers(*shape):
    return tf.constant(numbers.integers(-1, 2, shape), dtype)

  images, filters = integers(2, *size, 5), integers(*kernel, 5, 4)
  output = tf.nn.conv2d(images, filters, **options)
  return tf.gradients(output, [images, filters], integers(*output.shape.as_list()))


def kinds():
  """Return the types of the operations in the graph."""
  return {operation.type for operation in tf.get_default_graph().get_operations()}


@pytest.mark.parametrize('case', [
    {},
    {'kernel': (1, 1), 'size': (14, 14)},
    {'kernel': (1, 7)},
    {'kernel': (2, 4)},
    {'strides': 2, 'padding': 'VALID', 'size': (15, 10)},
    {'strides': (2, 1), 'padding': 'VALID', 'kernel': (3, 2)},
])
def test_small_outputs_have_products(case):
  """Exactly: bfloat16 holds such integers, and so does every sum of them."""
  with tf.Graph().as_default(), tf.Session() as session:
    with convolution_utils.suited_to(tf.bfloat16):
      found = build(**case)
    assert OWN not in kinds()
    assert [gradient.dtype for gradient in found] == [tf.bfloat16] * 2
    expected = build(tf.float32, **case)
    assert OWN in kinds()
    assert found[1].shape == expected[1].shape
    found, expected = session.run([[tf.cast(g, tf.float32) for g in found], expected])
  for ours, theirs in zip(found, expected):
    assert np.count_nonzero(theirs) > theirs.size / 2
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize('case', [
    {'size': (9, 9)},
    {'kernel': (1, 1), 'size': (15, 14)},
    {'strides': 2},
    {'dilations': 2},
])
def test_others_have_those_of_tensorflow(case):
  with tf.Graph().as_default(), tf.Session() as session:
    with convolution_utils.suited_to(tf.bfloat16):
      found = build(**case)
    assert kinds() >= {OWN, 'Conv2DBackpropInput'}
    found, expected = session.run([[tf.cast(g, tf.float32) for g in found],
                                   build(tf.float32, **case)])
  for ours, theirs in zip(found, expected):
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize('shape', [[None, None, None, 3], [2, 4, 4, 6], [2, 4, 4, None]])
def test_images_of_unknown_size_or_in_groups(shape):
  with tf.Graph().as_default():
    with convolution_utils.suited_to(tf.bfloat16):
      images = tf.placeholder(tf.bfloat16, shape)
      filters = tf.ones([1, 1, 3, 2], tf.bfloat16)
      tf.gradients(tf.nn.conv2d(images, filters, 1, 'SAME'), [images, filters])
    assert OWN in kinds()


def test_batches_of_unknown_size():
  with tf.Graph().as_default(), tf.Session() as session:
    with convolution_utils.suited_to(tf.bfloat16):
      images = tf.placeholder(tf.bfloat16, [None, 4, 4, 3])
      filters = tf.ones([1, 1, 3, 2], tf.bfloat16)
      gradients = tf.gradients(tf.nn.conv2d(images, filters, 1, 'SAME'), [images, filters])
    assert OWN not in kinds()
    of_images, of_filters = session.run(gradients, {images: np.ones([2, 4, 4, 3])})
  np.testing.assert_array_equal(of_images, np.full([2, 4, 4, 3], 2))
  np.testing.assert_array_equal(of_filters, np.full([1, 1, 3, 2], 32))


@pytest.mark.parametrize(('dtype', 'accelerator'), [
    (tf.float32, None), (tf.float16, None), (tf.bfloat16, '/gpu:0')])
def test_only_bfloat16_on_a_processor(dtype, accelerator, monkeypatch):
  monkeypatch.setattr(device_utils, 'accelerator', lambda: accelerator)
  with tf.Graph().as_default():
    with convolution_utils.suited_to(dtype):
      build(dtype)
    assert OWN in kinds()
