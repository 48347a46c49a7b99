"""Networks are found by name and come with their arguments filled in."""
import inspect

import pytest

from images.models import model_factory
from images.utils.tf1 import tf


def test_network_fn_makes_logits_and_regularization_losses():
  with tf.Graph().as_default():
    network_fn = model_factory.get_network_fn(
        'lenet', num_classes=7, weight_decay=4e-5, is_training=True)
    size = network_fn.default_image_size
    logits, end_points = network_fn(tf.zeros([2, size, size, 1]))
    assert logits.shape == [2, 7]
    assert end_points['Predictions'].shape == [2, 7]
    assert len(tf.losses.get_regularization_losses()) == 4


def test_without_classes_a_network_gives_features():
  with tf.Graph().as_default():
    features, end_points = model_factory.get_network_fn('lenet', 0)(tf.zeros([2, 28, 28, 1]))
    assert features.shape == [2, 1024]
    assert 'Logits' not in end_points


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
