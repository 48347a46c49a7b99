"""A product makes the numbers of TensorFlow's convolution."""
import numpy as np
import pytest

from images.utils import device_utils, product_utils
from images.utils.tf1 import tf


def integers(*shape):
  return np.random.default_rng(len(shape)).integers(-2, 3, shape).astype(np.float32)


@pytest.mark.parametrize(('channels', 'depth', 'is_flipped'), [(5, 4, True), (4, 6, False)])
def test_the_convolution_and_its_gradients(channels, depth, is_flipped):
  """Exactly, as all numbers are small integers; of a batch whose size is not known."""
  with tf.Graph().as_default() as graph, tf.Session() as session:
    images = tf.placeholder(tf.float32, [None, 3, 2, channels])
    filters = tf.constant(integers(1, 1, channels, depth))
    of_outputs = tf.constant(integers(7, 3, 2, depth))
    outputs = product_utils.convolution(images, filters)
    assert outputs.shape.as_list() == [None, 3, 2, depth]
    gradients = tf.gradients(outputs, [images, filters], of_outputs)
    kinds = {op.type for op in graph.get_operations()}
    assert not [kind for kind in kinds if 'Conv2D' in kind]
    assert ('Transpose' in kinds) == is_flipped  # Fewer rows than columns are faster.
    theirs = tf.nn.conv2d(images, filters, 1, 'SAME')
    expected = [theirs, *tf.gradients(theirs, [images, filters], of_outputs)]
    for ours, numbers in zip(*session.run(
        [[outputs, *gradients], expected], {images: integers(7, 3, 2, channels)})):
      assert np.count_nonzero(numbers) > numbers.size / 3
      np.testing.assert_array_equal(ours, numbers)


@pytest.mark.parametrize(('words', 'size', 'channels', 'is_convolution'), [
    ({'avx2'}, (2, 1), (3, 1024), True),
    ({'avx2'}, (2, 1), (2048, 383), True),
    ({'avx2'}, (2, 1), (384, 1024), False),
    ({'avx2'}, (2, 1), (3, 1536), False),
    ({'avx2'}, (1, 1), (3, 1024), False),
    ({'avx2', 'avx512bw'}, (2, 1), (3, 1024), False),
])
def test_where_the_gradient_of_filters_is_a_convolution(
    words, size, channels, is_convolution, monkeypatch):
  monkeypatch.setattr(device_utils, 'cpu_flags', lambda: words)
  images, of_outputs = integers(3, *size, channels[0]), integers(3, *size, channels[1])
  with tf.Graph().as_default() as graph, tf.Session() as session:
    gradient = product_utils.gradient_of_filters(
        tf.constant(images), tf.zeros([1, 1, *channels]), tf.constant(of_outputs))
    assert is_convolution == any(op.type == 'Conv2DBackpropFilter' for op in graph.get_operations())
    np.testing.assert_array_equal(
        session.run(gradient)[0, 0], np.einsum('nhwc,nhwd->cd', images, of_outputs))


def test_the_gradient_of_filters_that_see_all_of_an_image_is_a_product(monkeypatch):
  monkeypatch.setattr(device_utils, 'cpu_flags', lambda: {'avx2'})
  images, of_outputs = integers(3, 2, 1, 5), integers(3, 1, 1, 1024)
  with tf.Graph().as_default(), tf.Session() as session:
    gradient = product_utils.gradient_of_filters(
        tf.constant(images), tf.zeros([2, 1, 5, 1024]), tf.constant(of_outputs))
    np.testing.assert_array_equal(
        session.run(gradient), np.einsum('nhwc,nijd->hwcd', images, of_outputs))


@pytest.mark.parametrize(('images', 'filters', 'dtype', 'expected'), [
    ([None, 8, 8, 3], [1, 1, 3, 4], tf.float32, True),
    ([16, 9, 8, 3], [1, 1, 3, 4], tf.float32, False),
    ([16, 7, 7, 3], [1, 3, 3, 4], tf.float32, False),
    ([16, 7, 7, 3], [1, 1, 3, 4], tf.bfloat16, False),
])
def test_where_a_processor_gains(images, filters, dtype, expected):
  with tf.Graph().as_default():
    assert product_utils.is_faster(tf.placeholder(dtype, images), filters) == expected
