"""A layer made in another way is that of TF-Slim: variables, collections and numbers."""
import contextlib

import numpy as np
import pytest

from images.models import batch_norm_utils, conv_utils
from images.utils import device_utils, precision_utils
from images.utils.tf1 import slim, tf

NORMALIZED = {'normalizer_fn': slim.batch_norm, 'normalizer_params': {'scale': True}}


def build(layer, images=(2, 9, 12, 110), dtype=tf.float32, channels=110, kernel=3, **arguments):
  """Return what a layer makes of random images, deterministic variables in the graph."""
  inputs = tf.constant(np.random.default_rng(1).normal(size=images), dtype)
  with slim.arg_scope([slim.conv2d], weights_regularizer=slim.l2_regularizer(0.1),
                      weights_initializer=tf.glorot_uniform_initializer(seed=1)):
    return layer(inputs, channels, kernel, **{'scope': 'conv', **arguments})


def described(tensor):
  """Return the name, the shape and the dtype of what a graph holds."""
  return tensor.name, tensor.shape, tensor.dtype.base_dtype


@pytest.fixture
def training():
  """Return a context in which networks are trained."""
  return lambda: slim.arg_scope([conv_utils.conv2d], is_training=True)


@pytest.fixture
def normalizing():
  """Return a context in which convolutions have a batch norm, which trains."""
  return lambda **arguments: slim.arg_scope(
      [slim.batch_norm], **{'scale': True, 'decay': 0.1, 'epsilon': 0.01, **arguments})


def convolutions():
  return [op for op in tf.get_default_graph().get_operations() if op.type == 'Conv2D']


# 7 x 8 pixels, few enough for a product.
SMALL = {'images': (2, 7, 8, 5), 'kernel': (1, 1)}


@pytest.mark.parametrize('arguments', [
    {}, NORMALIZED, {'biases_initializer': None}, {'scope': None},
    SMALL, {**SMALL, **NORMALIZED},
    {'biases_initializer': tf.ones_initializer(), 'biases_regularizer': slim.l1_regularizer(0.2)},
    {'activation_fn': None, 'trainable': False},
    {'variables_collections': {'weights': ['w'], 'biases': ['b']}, 'outputs_collections': 'out'},
    {'variables_collections': ['all']},
])
def test_the_layer_of_tf_slim(arguments, training):
  results = []
  for layer, context in (conv_utils.conv2d, training), (slim.conv2d, contextlib.nullcontext):
    with tf.Graph().as_default() as graph, tf.Session() as session, context():
      output = build(layer, **arguments)
      assert bool(convolutions()) == (layer is slim.conv2d)
      weights = tf.trainable_variables() or tf.model_variables()[:1]
      gradients = tf.gradients(output**2, weights)
      losses = tf.losses.get_regularization_losses()
      found = {key: [described(each) for each in graph.get_collection(key)] for key in (
          tf.GraphKeys.GLOBAL_VARIABLES, tf.GraphKeys.TRAINABLE_VARIABLES,
          tf.GraphKeys.MODEL_VARIABLES, 'w', 'b', 'all', 'out')}
      found['aliases'] = [each.aliases for each in graph.get_collection('out')]
      session.run(tf.global_variables_initializer())
      results.append((described(output), found, session.run([output, gradients, losses])))
  (ours, found, numbers), (theirs, expected, expected_numbers) = results
  assert (ours, found) == (theirs, expected)
  assert len(numbers[2]) == len(expected_numbers[2]) >= 1
  for ours, theirs in zip(tf.nest.flatten(numbers), tf.nest.flatten(expected_numbers)):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())


def test_reuse(training):
  with tf.Graph().as_default(), training():
    build(conv_utils.conv2d)
    build(conv_utils.conv2d, reuse=True)
    assert len(tf.global_variables()) == 2
    with pytest.raises(ValueError, match='conv/weights already exists'):
      build(conv_utils.conv2d)


@pytest.mark.parametrize(('case', 'is_convolution'), [
    ({}, False),
    ({'kernel': (3, 3), 'stride': [1, 1]}, False),
    ({'channels': 106}, True),
    ({'images': (2, 5, 30, 110)}, True),
    ({'images': (2, 5, 28, 110)}, False),
    ({'kernel': (3, 1)}, True),
    ({'kernel': 1}, True),
    ({'kernel': 1, 'images': (2, 8, 8, 110)}, False),
    ({'kernel': 1, 'images': (2, 8, 8, 110), 'stride': 2}, True),
    ({'kernel': 1, 'images': (2, 8, 8, 110), 'dtype': tf.bfloat16}, True),
    ({'stride': 2}, True),
    ({'stride': (1, 2)}, True),
    ({'rate': 2}, True),
    ({'padding': 'VALID'}, True),
    ({'data_format': 'NCHW'}, True),
    ({'data_format': 'NHWC'}, False),
    ({'dtype': tf.bfloat16}, True),
    ({'dtype': tf.bfloat16, 'images': (2, 12, 12, 440), 'channels': 440}, True),
])
def test_which_layers_take_fewer_multiplications_or_are_products(case, is_convolution, training):
  with tf.Graph().as_default(), training():
    build(conv_utils.conv2d, **case)
    assert bool(convolutions()) == is_convolution


def test_images_of_unknown_size(training):
  for shape, count in ([None, 8, 8, 110], 0), ([2, None, 8, 110], 1):
    with tf.Graph().as_default(), training():
      conv_utils.conv2d(tf.placeholder(tf.float32, shape), 110, 3)
      assert len(convolutions()) == count


def test_neither_in_evaluation_nor_on_a_gpu(training, monkeypatch):
  with tf.Graph().as_default():
    build(conv_utils.conv2d)
    monkeypatch.setattr(device_utils, 'accelerator', lambda: '/gpu:0')
    with training():
      build(conv_utils.conv2d, scope='other')
    assert len(convolutions()) == 2


# 2 x 32 x 64 pixels of 16 channels, whose outputs are just enough to gain.
FEW = {'images': (2, 32, 64, 16), 'channels': 128, 'kernel': 1,
       'normalizer_fn': batch_norm_utils.batch_norm}


def normalizations():
  return [op for op in tf.get_default_graph().get_operations() if 'FusedBatchNorm' in op.type]


@pytest.mark.parametrize(('arguments', 'batch_norm'), [
    ({}, {}), ({'scope': None}, {'scale': False}),
    ({'activation_fn': tf.nn.relu6, 'kernel': (1, 1), 'padding': 'VALID'}, {}),
    ({'trainable': False}, {'activation_fn': tf.nn.tanh}),
    ({'variables_collections': ['all'], 'outputs_collections': 'out'}, {})])
def test_the_layer_and_the_batch_norm_of_tf_slim(arguments, batch_norm, training, normalizing):
  results = []
  for layer, context in (conv_utils.conv2d, training), (slim.conv2d, contextlib.nullcontext):
    with tf.Graph().as_default() as graph, tf.Session() as session, context(), \
        normalizing(**batch_norm):
      output = build(layer, **{**FEW, **arguments})
      assert bool(normalizations()) == (layer is slim.conv2d)
      found = {key: [described(each) for each in graph.get_collection(key)] for key in (
          tf.GraphKeys.GLOBAL_VARIABLES, tf.GraphKeys.TRAINABLE_VARIABLES,
          tf.GraphKeys.MODEL_VARIABLES, 'all', 'out')}
      # The sum of all squares would be the same with any filters.
      factors = np.random.default_rng(2).normal(size=output.shape)
      gradients = tf.gradients(output * factors, tf.trainable_variables())
      session.run(tf.global_variables_initializer())
      numbers = session.run([output, gradients])
      session.run(tf.get_collection(tf.GraphKeys.UPDATE_OPS))
      averages = [v for v in tf.global_variables() if 'moving' in v.name]
      results.append((described(output), found, [*numbers, session.run(averages)]))
  (ours, found, numbers), (theirs, expected, expected_numbers) = results
  assert (ours, found) == (theirs, expected)
  assert len(numbers[2]) == len(expected_numbers[2]) == 2
  for ours, theirs in zip(tf.nest.flatten(numbers), tf.nest.flatten(expected_numbers)):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())


@pytest.mark.parametrize(('case', 'batch_norm', 'is_normalized_by_covariance'), [
    ({}, {}, True),
    ({'channels': 127}, {}, False),
    ({'images': (2, 32, 64, 65)}, {}, False),
    ({'kernel': 3}, {}, False),
    ({'stride': 2, 'images': (4, 64, 64, 16)}, {}, False),
    ({'dtype': tf.bfloat16}, {}, False),
    ({'normalizer_fn': slim.batch_norm}, {}, False),
    ({'normalizer_params': {'decay': 0.5}}, {}, False),
    ({}, {'scale': False}, True),
    ({}, {'is_training': False}, False),
    ({}, {'center': False}, False),
])
def test_which_layers_normalize_by_covariance(case, batch_norm, is_normalized_by_covariance,
                                              training, normalizing):
  with tf.Graph().as_default(), training(), normalizing(**batch_norm):
    build(conv_utils.conv2d, **{**FEW, **case})
    assert len(normalizations()) == 1 - is_normalized_by_covariance


def test_no_covariance_in_evaluation_nor_on_a_gpu(training, normalizing, monkeypatch):
  with tf.Graph().as_default(), normalizing():
    build(conv_utils.conv2d, **FEW)
    monkeypatch.setattr(device_utils, 'accelerator', lambda: '/gpu:0')
    with training():
      build(conv_utils.conv2d, **FEW, scope='other')
    assert len(normalizations()) == 2


def test_a_head_predicts_with_a_product():
  values = np.random.default_rng(1).normal(size=[2, 3, 5, 4]).astype(np.float32)
  with tf.Graph().as_default() as graph, tf.Session() as session:
    logits, end_points = conv_utils.conv_head(
        tf.constant(values), 10, {}, pool='pool', is_training=False, dropout_keep_prob=0.5,
        spatial_squeeze=True)
    assert list(end_points) == ['pool', 'Logits', 'Predictions']
    assert not convolutions()
    variables = graph.get_collection(tf.GraphKeys.MODEL_VARIABLES)
    assert {v.op.name: v.shape for v in variables} == {
        'Logits/Conv2d_1c_1x1/weights': [1, 1, 4, 10], 'Logits/Conv2d_1c_1x1/biases': [10]}
    session.run(tf.global_variables_initializer())
    found, weights = session.run([logits, variables[0]])
  np.testing.assert_allclose(found, values.mean((1, 2)) @ weights[0, 0], rtol=0, atol=1e-6)


def test_a_product_in_half_precision_regularizes_the_filters_in_float32():
  """A third is another number in bfloat16."""
  losses = []
  with slim.arg_scope([slim.conv2d], weights_initializer=tf.constant_initializer(1 / 3),
                      weights_regularizer=slim.l2_regularizer(0.1)) as scope:
    for dtype in (tf.float32, tf.bfloat16):
      with tf.Graph().as_default(), tf.Session() as session, \
          slim.arg_scope(precision_utils.float32_regularizers(scope)):
        precision_utils.computing_in(dtype, conv_utils.valid_conv2d)(
            tf.ones([1, 2, 3, 4]), channels=5, kernel=(2, 3))
        session.run(tf.global_variables_initializer())
        losses.append(session.run(precision_utils.regularization_loss()))
  assert losses[0] == losses[1] > 0
