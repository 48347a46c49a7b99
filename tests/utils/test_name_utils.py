"""Unknown names are answered with the known ones, nearest first."""
import pytest

from images.utils import name_utils


def test_a_known_name_is_looked_up():
  assert name_utils.lookup({'lenet': 1}, 'lenet', 'model') == 1


def test_an_unknown_name_lists_the_known_ones_nearest_first():
  table = {'vgg_16': 1, 'resnet_v1_50': 2, 'lenet': 3, 'resnet_v1_101': 4}
  with pytest.raises(ValueError) as error:
    name_utils.lookup(table, 'resnet_v1_5O', 'model (--model_name)')
  assert str(error.value) == (
    "unknown model (--model_name): 'resnet_v1_5O'; known, nearest first: "
    'resnet_v1_50, resnet_v1_101, lenet, vgg_16')
