"""Wide layers see larger images at several positions."""
from images.models import wide_utils
from images.utils.tf1 import slim, tf


def test_a_network_is_its_convolutions_and_three_wide_layers():
  network = wide_utils.declare(
      'tiny', convolutions=lambda images: slim.max_pool2d(images, 2, scope='pool'), fc6=(5, 2),
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
  network = wide_utils.declare('tiny', convolutions=lambda images: images, fc6=(5, 2),
                               smallest_image_size=2)
  with tf.Graph().as_default() as graph:
    network(tf.zeros([2, 2, 2, 3]), 10)
    assert [op.name.split('/')[1] for op in graph.get_operations()
            if op.type == 'RandomUniform' and '/Initializer/' not in op.name] == [
                'Dropout', 'Dropout_1']
