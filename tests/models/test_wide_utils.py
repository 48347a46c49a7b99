"""Wide layers see larger images at several positions, and one is computed as a product."""
import numpy as np
import pytest

from images.models import wide_utils
from images.utils import precision_utils
from images.utils.tf1 import slim, tf


def test_a_network_is_its_convolutions_and_three_wide_layers():
  network = wide_utils.declare(
      'tiny', convolutions=lambda images: slim.max_pool2d(images, 2, scope='pool'), fc6=(5, (2, 2)),
      smallest_image_size=4)
  with tf.Graph().as_default(), slim.arg_scope(wide_utils.wide_arg_scope(bias=0.5)):
    logits, end_points = network(tf.zeros([2, 4, 8, 3]), 10)
    assert list(end_points) == ['tiny/pool', 'tiny/fc6', 'tiny/fc7', 'global_pool', 'tiny/fc8']
    assert end_points['tiny/fc6'].shape == [2, 1, 3, 5]
    assert logits.shape == [2, 10]
    biases = [v.initial_value for v in tf.global_variables() if v.op.name.endswith('biases')]
    with tf.Session() as session:
      assert [value[0] for value in session.run(biases)] == [0.5, 0.5, 0]


def test_dropout_comes_before_the_last_two_layers():
  network = wide_utils.declare('tiny', convolutions=lambda images: images, fc6=(5, (2, 2)),
                               smallest_image_size=2)
  with tf.Graph().as_default() as graph:
    network(tf.zeros([2, 2, 2, 3]), 10)
    assert [op.name.split('/')[1] for op in graph.get_operations()
            if op.type == 'RandomUniform' and '/Initializer/' not in op.name] == [
                'Dropout', 'Dropout_1']


def _tiny(dtype, images):
  """Return the logits of a network of wide layers, [batch, height, width, 10], in `dtype`."""
  network = wide_utils.declare('tiny', convolutions=tf.identity, fc6=(5, (2, 3)),
                               smallest_image_size=2)
  scope = precision_utils.float32_regularizers(wide_utils.wide_arg_scope(0.5, bias=1.0))
  with slim.arg_scope(scope):
    logits, _ = precision_utils.computing_in(dtype, network)(
        images, num_classes=10, is_training=False, spatial_squeeze=False)
  return logits


@pytest.mark.parametrize('dtype', [tf.float32, tf.bfloat16])
def test_what_a_product_computes_is_what_convolutions_compute(dtype):
  with tf.Graph().as_default() as graph, tf.Session() as session:
    tf.set_random_seed(1)
    images = tf.random.stateless_normal([4, 2, 3, 6], [1, 2])
    one = _tiny(dtype, images)
    assert 'Conv2D' not in {op.type for op in graph.get_operations()}
    variables = {v.op.name: v.shape.as_list() for v in tf.model_variables()}
    losses = tf.losses.get_regularization_losses()
    with tf.variable_scope(tf.get_variable_scope(), reuse=True):
      several = _tiny(dtype, tf.concat([images, images[:, :, :1]], axis=2))
    assert [op.type for op in graph.get_operations()].count('Conv2D') == 3
    assert [one.dtype, several.dtype, *(loss.dtype for loss in losses)] == [
        dtype, dtype, *[tf.float32] * 3]
    session.run(tf.global_variables_initializer())
    found, expected, decay, weights = session.run([
        tf.cast(one, tf.float32), tf.cast(several, tf.float32), losses,
        [v for v in tf.model_variables() if v.op.name.endswith('weights')]])
  assert variables == {
      'tiny/fc6/weights': [2, 3, 6, 5], 'tiny/fc6/biases': [5],
      'tiny/fc7/weights': [1, 1, 5, 4096], 'tiny/fc7/biases': [4096],
      'tiny/fc8/weights': [1, 1, 4096, 10], 'tiny/fc8/biases': [10]}
  assert expected.shape == (4, 1, 2, 10)
  np.testing.assert_allclose(found, expected[:, :, :1], rtol=0, atol={
      tf.float32: 1e-6, tf.bfloat16: 2e-2}[dtype] * np.abs(expected).max())
  np.testing.assert_allclose(
      decay, [0.5 * np.sum(np.square(w.astype(np.float64))) / 2 for w in weights], rtol=1e-6)
