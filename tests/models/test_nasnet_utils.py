"""Cells fit what they are given, and drop paths in training only."""
import numpy as np
import pytest

from images.models import model_factory, model_utils, nasnet, nasnet_utils, pnasnet
from images.utils import precision_utils
from images.utils.tf1 import slim, tf
from tests.models import zoo

_PLAN = nasnet_utils.Plan(
    nasnet_utils.Cell(sums=((('separable_3x3', 0), ('none', 1)),), outputs=(2,)),
    reduction=None, cells=3, filters=4, stem_filters=8, imagenet_stem=False,
    drop_path_keep_prob=0.5, drop_path_steps=100)


def test_a_cell_fits_its_inputs_to_each_other():
  with tf.Graph().as_default():
    net, previous = tf.zeros([2, 4, 4, 7]), tf.zeros([2, 7, 7, 5])
    output = nasnet_utils.build_cell(net, previous, _PLAN.normal, scope='cell', filters=3,
                                     halve_previous=True)
    assert output.shape == [2, 4, 4, 3]
    names = {v.op.name for v in tf.trainable_variables()}
    assert {'cell/path1_conv/weights', 'cell/path2_conv/weights'} <= names


@pytest.mark.parametrize(('step', 'number', 'expected'), [
    (0, 2, 1.0), (50, 0, 0.95), (50, 4, 0.75), (100, 4, 0.5), (900, 4, 0.5)])
def test_paths_are_dropped_more_in_later_cells_and_at_later_steps(step, number, expected):
  plan = _PLAN._replace(reduction=_PLAN.normal)  # 3 cells and 2 reductions
  with tf.Graph().as_default(), tf.Session() as session:
    keep_prob = nasnet_utils.drop_path_schedule(plan, 0.5)(number)
    session.run(tf.train.get_global_step().initializer)
    session.run(tf.train.get_global_step().assign(step))
    np.testing.assert_allclose(session.run(keep_prob), expected, rtol=1e-6)


def test_a_path_is_kept_or_dropped_in_each_example_as_the_seed_says():
  cell = nasnet_utils.Cell(sums=((('max_pool_3x3', 1), ('max_pool_3x3', 1)),), outputs=(2,))
  runs = []
  for seed in ([1, 7], [1, 7], [1, 8]):
    with tf.Graph().as_default(), tf.Session() as session, \
        slim.arg_scope([model_utils.keep_randomly], seed=tf.constant(seed, tf.int64)):
      net = nasnet_utils.build_cell(tf.ones([40, 2, 2, 1]), tf.ones([40, 2, 2, 1]), cell,
                                    scope='cell', filters=1, keep_prob=tf.constant(0.5))
      session.run(tf.global_variables_initializer())
      runs.append(session.run(net))
  assert (runs[0] == runs[0][:, :1, :1]).all()
  # Either path is doubled or dropped, and not both alike.
  values, counts = np.unique(runs[0][:, 0, 0, 0], return_counts=True)
  assert values.tolist() == [0, 2, 4]
  assert (counts > [3, 10, 3]).all()
  np.testing.assert_array_equal(runs[0], runs[1])
  assert (runs[0] != runs[2]).any()


@pytest.mark.parametrize(('is_training', 'expected'), [(True, ['global_step']), (False, [])])
def test_the_global_step_is_made_in_training_and_outside_of_cells(is_training, expected):
  network = nasnet_utils.declare('tiny', _PLAN, default_image_size=8)
  with tf.Graph().as_default(), slim.arg_scope(nasnet_utils.nasnet_arg_scope(0.0)):
    logits, end_points = network(tf.zeros([2, 8, 8, 3]), 10, is_training=is_training)
    assert logits.shape == [2, 10]
    assert ('AuxLogits' in end_points) == is_training
    assert [v.op.name for v in tf.global_variables() if 'global_step' in v.op.name] == expected


def test_the_smallest_images_survive_the_imagenet_stem():
  plan = _PLAN._replace(imagenet_stem=True, reduction=_PLAN.normal)
  network = nasnet_utils.declare('tiny', plan, default_image_size=8)
  with tf.Graph().as_default(), slim.arg_scope(nasnet_utils.nasnet_arg_scope(0.0)):
    logits, end_points = network(tf.zeros([2, 3, 3, 3]), 10)
    assert logits.shape == end_points['AuxLogits'].shape == [2, 10]
    assert end_points['Reduction_Cell_1'].shape[1:3] == [1, 1]


def test_without_classes_a_network_gives_features():
  network = nasnet_utils.declare('tiny', _PLAN, default_image_size=8)
  with tf.Graph().as_default(), slim.arg_scope(nasnet_utils.nasnet_arg_scope(0.0)):
    features, end_points = network(tf.zeros([2, 37, 20, 3]), 0)
    assert features.shape == [2, 16]
    assert not {'AuxLogits', 'Logits'} & set(end_points)


@pytest.mark.parametrize(('normal', 'reduction'), [
    (nasnet.NORMAL, nasnet.REDUCTION), (pnasnet.CELL, None)])
def test_cells_and_heads_compute_in_float16_and_drop_what_the_seed_says(normal, reduction):
  plan = _PLAN._replace(normal=normal, reduction=reduction)
  network = precision_utils.computing_in(
      tf.float16, nasnet_utils.declare('tiny', plan, default_image_size=8))
  with zoo.graph(), slim.arg_scope(nasnet_utils.nasnet_arg_scope(0.0)), \
      slim.arg_scope([model_utils.keep_randomly], seed=tf.constant([1, 7], tf.int64)):
    logits, end_points = network(tf.zeros([2, 8, 8, 3]), num_classes=10)
    zoo.check_precision(tf.reduce_sum(tf.cast(logits + end_points['AuxLogits'], tf.float32)),
                        tf.float16)
    assert zoo.check_random_numbers()


@pytest.mark.parametrize(('name', 'scope', 'channels', 'kernel'), [
    ('nasnet_cifar', 'aux_11', 384, 4), ('nasnet_mobile', 'aux_7', 528, 4),
    ('nasnet_large', 'aux_11', 2016, 6), ('pnasnet_mobile', 'aux_5', 540, 4),
    ('pnasnet_large', 'aux_7', 2160, 6)])
def test_the_auxiliary_head_of_the_default_size_is_the_published_one(
    monkeypatch, name, scope, channels, kernel):
  """Zeros stand in for the cells, of which the head sees no more than the shape."""
  def build_cell(net, previous, cell, *, filters, stride=1, **_):
    batch, height, width, _ = net.shape.as_list()
    return tf.zeros([batch, -(-height // stride), -(-width // stride),
                     filters * len(cell.outputs)])

  monkeypatch.setattr(nasnet_utils, 'build_cell', build_cell)
  with zoo.graph():
    network_fn = model_factory.get_network_fn(name, 10, is_training=True)
    network_fn(tf.zeros([2, network_fn.default_image_size, network_fn.default_image_size, 3]))
    shapes = dict(zoo.names_and_shapes())
  assert shapes[f'{scope}/aux_logits/proj/weights'] == [1, 1, channels, 128]
  assert shapes[f'{scope}/aux_logits/Conv/weights'] == [kernel, kernel, 128, 768]


def test_the_variables_do_not_depend_on_the_image_size():
  tables = []
  plan = _PLAN._replace(imagenet_stem=True, reduction=_PLAN.normal)
  network = nasnet_utils.declare('tiny', plan, default_image_size=8)
  for size in (3, 64, None):
    with tf.Graph().as_default(), slim.arg_scope(nasnet_utils.nasnet_arg_scope(0.0)):
      logits, _ = network(tf.placeholder(tf.float32, [2, size, size, 3]), 10, is_training=False)
      assert logits.shape == [2, 10]
      tables.append([(v.op.name, v.shape.as_list()) for v in tf.global_variables()])
  assert tables[0] == tables[1] == tables[2]


def test_the_auxiliary_head_needs_to_know_the_image_size():
  network = nasnet_utils.declare('tiny', _PLAN, default_image_size=8)
  with tf.Graph().as_default(), pytest.raises(ValueError, match='auxiliary head .*set_shape'):
    network(tf.placeholder(tf.float32, [2, None, 8, 3]), 10)


def test_too_small_images_are_told_the_smallest_size():
  for network in (nasnet.nasnet_mobile, pnasnet.pnasnet_large):
    with tf.Graph().as_default(), pytest.raises(ValueError, match='size is 3 x 3'):
      network(tf.zeros([2, 3, 2, 3]), 10)


def test_the_features_are_dropped_before_the_logits():
  plan = _PLAN._replace(drop_path_keep_prob=1.0)
  network = nasnet_utils.declare('tiny', plan, default_image_size=8)
  with tf.Graph().as_default() as graph, slim.arg_scope(nasnet_utils.nasnet_arg_scope(0.0)):
    network(tf.zeros([2, 8, 8, 3]), 10)
    drawing = [op.name for op in graph.get_operations()
               if op.type == 'RandomUniform' and '/Initializer/' not in op.name]
    assert drawing == ['final_layer/Dropout/random_uniform/RandomUniform']


@pytest.mark.parametrize(('name', 'step', 'expected'), [
    ('nasnet_cifar', 937500 // 2, 0.8), ('nasnet_large', 125000, 0.85),
    ('pnasnet_large', 125000, 0.8)])
def test_half_of_the_way_to_the_published_share_of_paths(monkeypatch, name, step, expected):
  """In the last cell."""
  kept = []
  def build_cell(net, previous, cell, *, filters, stride=1, keep_prob, **_):
    kept.append(keep_prob)
    batch, height, width, _ = net.shape.as_list()
    return tf.zeros([batch, -(-height // stride), -(-width // stride),
                     filters * len(cell.outputs)])

  monkeypatch.setattr(nasnet_utils, 'build_cell', build_cell)
  with zoo.graph(), tf.Session() as session:
    model_factory.get_network_fn(name, 10, is_training=True)(tf.zeros([2, 64, 64, 3]))
    session.run(tf.train.get_global_step().assign(step))
    assert session.run(kept[-1]) == pytest.approx(expected)
