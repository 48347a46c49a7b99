"""Networks are found by name and come with their arguments filled in."""
import collections
import inspect
import re

import pytest

from images.models import model_factory
from images.utils.tf1 import slim, tf
from tests.models import zoo


def test_network_fn_makes_logits_and_regularization_losses():
  with tf.Graph().as_default():
    network_fn = model_factory.get_network_fn(
        'lenet', num_classes=7, weight_decay=4e-5, is_training=True)
    size = network_fn.default_image_size
    logits, end_points = network_fn(tf.zeros([2, size, size, 1]))
    assert logits.shape == [2, 7]
    assert end_points['Predictions'].shape == [2, 7]
    assert len(tf.losses.get_regularization_losses()) == 4


@pytest.mark.parametrize('name', model_factory.models_map)
def test_each_network_tells_its_sizes_with_and_without_an_auxiliary_head(name):
  network = model_factory.models_map[name]
  for has_auxiliary_head in (True, False):
    network_fn = model_factory.get_network_fn(name, 7, has_auxiliary_head=has_auxiliary_head)
    assert network_fn.default_image_size == network.default_image_size
    assert network_fn.smallest_image_size == network.smallest_image_size


@pytest.mark.parametrize(('name', 'channels'), [
    ('lenet', 1024), ('cifarnet', 192), ('alexnet_v2', 4096), ('overfeat', 4096), ('vgg_a', 4096),
    ('vgg_19', 4096), ('resnet_v1_50', 2048), ('resnet_v2_50', 2048), ('mobilenet_v1_050', 512),
    ('mobilenet_v2_140', 1792), ('mobilenet_v3_small', 1024), ('mobilenet_edgetpu_075', 1280),
    ('inception_v1', 1024), ('inception_v2', 1024), ('inception_v3', 2048),
    ('inception_v4', 1536), ('inception_resnet_v2', 1536)])
def test_without_classes_a_network_gives_features_and_has_no_heads(name, channels):
  """The nets that architecture search found: see test_nasnet_utils.py."""
  with zoo.graph():
    network_fn = model_factory.get_network_fn(name, 0, is_training=True)
    size = max(network_fn.smallest_image_size, 32)
    features, end_points = network_fn(tf.zeros([2, size, size, 3]))
    names = [v.op.name for v in tf.global_variables()]
  assert features.shape.as_list() in ([2, channels], [2, 1, 1, channels])
  heads = re.compile('(?<!PreAux)Logits|logits|[Pp]redictions|fc8|LeNet/fc4')
  assert [key for key in [*names, *end_points] if heads.search(key)] == []


def own_network(monkeypatch, outputs):
  def network(images, *, num_classes, is_training):
    return outputs(images)

  monkeypatch.setitem(model_factory.models_map, 'own', network)
  monkeypatch.setitem(model_factory.arg_scopes_map, 'own', model_factory.arg_scopes_map['lenet'])


@pytest.mark.parametrize(('outputs', 'message'), [
    (lambda images: images, r'has to return \(logits, end_points\), a tensor and a dict, not Tens'),
    (lambda images: (images, None), r'has to .*, a tensor and a dict, not \(<tf.Tensor'),
    (lambda images: (images[:, 0, 0], {}), r'gives logits of shape \(2, 3\) for 4 classes')])
def test_a_network_that_returns_something_else_is_an_error(monkeypatch, outputs, message):
  own_network(monkeypatch, outputs)
  network_fn = model_factory.get_network_fn('own', 4)
  with tf.Graph().as_default(), pytest.raises(ValueError, match=f'the network own {message}'):
    network_fn(tf.zeros([2, 28, 28, 3]))


def test_all_that_a_network_makes_are_its_variables_once(monkeypatch):
  def outputs(images):
    slim.model_variable('by_slim', [3])
    tf.get_variable('plain', [3])
    tf.get_variable('count', initializer=1, trainable=False)
    return images[:, 0, 0], {}

  own_network(monkeypatch, outputs)
  with tf.Graph().as_default():
    tf.get_variable('before', [3])
    model_factory.get_network_fn('own', 3)(tf.zeros([2, 28, 28, 3]))
    assert sorted(v.op.name for v in tf.model_variables()) == ['by_slim', 'count', 'plain']


def test_a_network_without_an_arg_scope_is_an_error(monkeypatch):
  own_network(monkeypatch, lambda images: (images, {}))
  monkeypatch.delitem(model_factory.arg_scopes_map, 'own')
  with pytest.raises(ValueError, match=r"unknown arg scope of a model \(arg_scopes_map\): 'own'"):
    model_factory.get_network_fn('own', 4)


@pytest.mark.parametrize(('name', 'size', 'multiplying_less', 'products'), [
    ('vgg_a', 224, 5, 0), ('alexnet_v2', 195, 3, 0), ('overfeat', 231, 3, 0),
    ('resnet_v1_50', 224, 11, 8), ('resnet_v2_50', 224, 11, 8), ('inception_v1', 224, 9, 8),
    ('mobilenet_v1', 224, 0, 2), ('mobilenet_v2', 224, 0, 8)])
def test_training_convolves_in_other_ways(name, size, multiplying_less, products):
  """As many convolutions fewer as have many 3 x 3 filters, and 1 x 1 filters and few pixels."""
  counts = []
  for is_training in (False, True):
    with tf.Graph().as_default() as graph:
      model_factory.get_network_fn(name, 10, is_training=is_training)(tf.zeros([1, size, size, 3]))
      counts.append(collections.Counter(
          tuple(op.inputs[1].shape[:2]) for op in graph.get_operations() if op.type == 'Conv2D'))
  expected = {(3, 3): multiplying_less, (1, 1): products}
  assert counts[0] - counts[1] == collections.Counter(expected) - collections.Counter()


@pytest.mark.parametrize(('name', 'fewer'), [
    ('resnet_v1_50', 8), ('mobilenet_v2', 16), ('mobilenet_v3_large', 12), ('mobilenet_v1', 0),
    ('inception_v1', 0)])
def test_training_normalizes_by_the_covariance_of_few_channels(name, fewer):
  counts = []
  for is_training in (False, True):
    with tf.Graph().as_default() as graph:
      model_factory.get_network_fn(name, 10, is_training=is_training)(tf.zeros([16, 224, 224, 3]))
      counts.append(sum('FusedBatchNorm' in op.type for op in graph.get_operations()))
  assert counts[0] - counts[1] == fewer


def test_an_unknown_name_is_answered_with_the_nearest_known_one():
  with pytest.raises(ValueError, match=r"model_name\): 'resnet_50'.*first: resnet_v\d_50"):
    model_factory.get_network_fn('resnet_50', 10)


@pytest.mark.parametrize(('name', 'expected'), [
    ('lenet', 0.5), ('cifarnet', 0.5), ('alexnet_v2', 0.5), ('overfeat', 0.5), ('vgg_16', 0.5),
    ('inception_v1', 0.8), ('inception_v4', 0.8), ('inception_resnet_v2', 0.8),
    ('mobilenet_v1', 0.999), ('mobilenet_v2', 0.8), ('mobilenet_v3_small', 0.8),
    ('nasnet_cifar', 1.0), ('nasnet_large', 0.5), ('pnasnet_mobile', 0.5)])
def test_dropout_keeps_the_published_share(name, expected):
  parameters = inspect.signature(model_factory.models_map[name]).parameters
  assert parameters['dropout_keep_prob'].default == expected


@pytest.mark.parametrize(('name', 'expected'), [
    ('nasnet_cifar', 0.6), ('nasnet_mobile', 1.0), ('nasnet_large', 0.7),
    ('pnasnet_mobile', 1.0), ('pnasnet_large', 0.6)])
def test_drop_path_keeps_the_published_share(name, expected):
  parameters = inspect.signature(model_factory.models_map[name]).parameters
  assert parameters['drop_path_keep_prob'].default == expected


@pytest.mark.parametrize('name', model_factory.models_map)
def test_weight_decay_is_the_factor_of_the_l2_loss(name):
  """Half of the square of 2, times a quarter."""
  scope = model_factory.arg_scopes_map[name](weight_decay=0.25)
  with tf.Graph().as_default(), tf.Session() as session:
    losses = [session.run(value(tf.constant([2.0]))) for arguments in scope.values()
              for key, value in arguments.items() if key.endswith('_regularizer') and value]
  assert set(losses) == {0.5}
