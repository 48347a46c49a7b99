"""Networks are found by name and come with their arguments filled in."""
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
