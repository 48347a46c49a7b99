"""Networks know their sizes and check their images; dropout is exact, and can be repeated."""
import numpy as np
import pytest

from images.models import model_utils
from images.utils import device_utils
from images.utils.tf1 import slim, tf


@model_utils.network(default_image_size=32, smallest_image_size=8)
def _network(inputs, num_classes=10):
  del num_classes
  return inputs


def test_sizes_are_attributes():
  assert (_network.default_image_size, _network.smallest_image_size) == (32, 8)


@pytest.mark.parametrize('size', [[8, 8], [9, 200], [None, None], [None, 8]])
def test_images_that_are_large_enough_or_of_unknown_size_pass(size):
  with tf.Graph().as_default():
    _network(tf.placeholder(tf.float32, [None, *size, 3]))


@pytest.mark.parametrize('size', [[7, 8], [8, 7], [None, 7], [0, 8]])
def test_small_images_are_told_the_smallest_size(size):
  with tf.Graph().as_default():
    images = tf.placeholder(tf.float32, [None, *size, 3])
    with pytest.raises(ValueError, match='_network .*smallest size is 8 x 8'):
      _network(images)


def test_images_need_four_dimensions():
  with tf.Graph().as_default(), pytest.raises(ValueError, match='batch, height, width'):
    _network(tf.zeros([32, 32, 3]))


@pytest.mark.parametrize('dtype', [tf.float32, tf.float16, tf.bfloat16])
def test_the_average_of_many_positions_keeps_its_digits(dtype):
  values = np.linspace(0, 1, 112 * 112 * 2).reshape(1, 112, 112, 2)
  with tf.Graph().as_default(), tf.Session() as session:
    average = model_utils.average(tf.constant(values, dtype))
    assert average.dtype == dtype
    assert average.shape == [1, 1, 1, 2]
    np.testing.assert_allclose(session.run(average).astype(np.float32).ravel(), 0.5, rtol=4e-3)


def _drop(seed, *, scope='net', keep_prob=0.5, count=100, dtype=tf.float32):
  """Return what dropout makes of ones [count], in two runs."""
  with tf.Graph().as_default(), tf.Session() as session, tf.variable_scope(scope), \
      slim.arg_scope([model_utils.keep_randomly], seed=seed and tf.constant(seed, tf.int64)):
    tf.set_random_seed(1)
    net = model_utils.dropout(tf.ones([count], dtype), keep_prob)
    assert net.dtype == dtype
    return [session.run(tf.cast(net, tf.float32)) for _ in range(2)]


def test_dropout_is_a_function_of_the_seed_and_the_layer():
  first, again = _drop([1, 7])
  assert set(first) == {0, 2}
  np.testing.assert_array_equal(first, again)
  np.testing.assert_array_equal(first, _drop([1, 7])[0])
  for other in (_drop([2, 7]), _drop([1, 8]), _drop([1, 7], scope='another')):
    # Of independent choices about half agree; these are the same at each run of the test.
    assert 30 <= np.sum(other[0] != first) <= 70


def test_dropout_without_a_seed_is_new_at_every_run():
  first, again = _drop(None)
  assert set(first) == {0, 2}
  assert 30 <= np.sum(again != first) <= 70


@pytest.mark.parametrize('dtype', [tf.float32, tf.float16, tf.bfloat16])
@pytest.mark.parametrize('seed', [None, [1, 7]])
def test_dropout_keeps_its_share_in_every_precision(dtype, seed):
  """A number of bfloat16 is never between 0 and 1/128: it would drop eight times as many."""
  net, _ = _drop(seed, keep_prob=0.999, count=10**6, dtype=dtype)
  assert abs(np.sum(net == 0) - 1000) < 5 * np.sqrt(1000)


def test_dropout_keeps_all_out_of_training():
  with tf.Graph().as_default(), tf.Session() as session, \
      slim.arg_scope([model_utils.dropout], keep_prob=0.5, is_training=False):
    nets = [model_utils.dropout(tf.ones([100])) for _ in range(2)]
    assert [net.op.name for net in nets] == ['Dropout/Identity', 'Dropout_1/Identity']
    np.testing.assert_array_equal(session.run(nets), np.ones([2, 100]))


@pytest.mark.parametrize(('dtype', 'is_training', 'gpu', 'by_bits'), [
    (tf.bfloat16, True, None, True),
    (tf.bfloat16, False, None, False),
    (tf.bfloat16, True, '/gpu:0', False),
    (tf.float16, True, None, False),
    (tf.float32, True, None, False),
])
@pytest.mark.parametrize(('rectifier', 'highest', 'more'), [
    (model_utils.relu, np.inf, [np.nan]), (model_utils.relu6, 6, [5.96875, 6, 6.03125])])
def test_rectifiers_are_those_of_tensorflow(rectifier, highest, more, dtype, is_training, gpu,
                                            by_bits, monkeypatch):
  monkeypatch.setattr(device_utils, 'accelerator', lambda: gpu)
  values = [*more, -np.inf, -3, -1e-9, -0.0, 0, 1e-9, 3, np.inf]
  slope = np.arange(len(values)) + 0.5
  with tf.Graph().as_default() as graph, tf.Session() as session:
    inputs = tf.constant(values, dtype)
    with slim.arg_scope([slim.batch_norm], is_training=is_training):
      outputs = rectifier(inputs)
    [gradient] = tf.gradients(outputs, inputs, tf.constant(slope, dtype))
    assert outputs.dtype == gradient.dtype == dtype
    [operation] = [op for op in graph.get_operations()
                   if op.type in ('Relu', 'Relu6', 'ClipByValue')]
    assert operation.inputs[0].dtype == (tf.int16 if by_bits else dtype)
    found = session.run([tf.cast(net, tf.float32) for net in (inputs, outputs, gradient)])
  np.testing.assert_array_equal(found[0][:len(more)], more)
  np.testing.assert_array_equal(found[1], np.clip(found[0], 0, highest))
  passes = (found[0] > 0) & ((found[0] < highest) | (highest == np.inf))
  assert np.count_nonzero(passes) >= 2
  is_number = ~np.isnan(found[0])
  np.testing.assert_array_equal(found[2][is_number], np.where(passes, slope, 0)[is_number])
