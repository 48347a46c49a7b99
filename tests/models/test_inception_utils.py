"""An auxiliary head has as many weights as its image has positions."""
import pytest

from images.models import model_factory
from images.utils.tf1 import tf
from tests.models import zoo


@pytest.mark.parametrize('name', ['inception_v3', 'inception_v4', 'inception_resnet_v2'])
def test_evaluation_takes_images_of_unknown_size_without_the_auxiliary_head(name):
  with zoo.graph():
    network_fn = model_factory.get_network_fn(name, num_classes=10)
    logits, end_points = network_fn(tf.placeholder(tf.float32, [None, None, None, 3]))
    assert logits.shape.as_list() == [None, 10]
    assert 'AuxLogits' not in end_points


def test_evaluation_can_do_without_the_auxiliary_head():
  """So that it takes images of another size than training did."""
  with zoo.graph():
    network_fn = model_factory.get_network_fn('inception_v3', 10, has_auxiliary_head=False)
    _, end_points = network_fn(tf.zeros([1, 107, 107, 3]))
    assert 'AuxLogits' not in end_points
    assert not [v for v in tf.model_variables() if 'AuxLogits' in v.op.name]
    model_factory.get_network_fn('lenet', 10, has_auxiliary_head=False)(tf.zeros([1, 28, 28, 1]))


def test_training_with_the_auxiliary_head_needs_to_know_the_image_size():
  with zoo.graph():
    network_fn = model_factory.get_network_fn('inception_v3', num_classes=10, is_training=True)
    with pytest.raises(ValueError, match='auxiliary head .*set_shape'):
      network_fn(tf.placeholder(tf.float32, [None, 299, None, 3]))
