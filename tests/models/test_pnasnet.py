"""PNASNet-5 concatenates five states, and its one cell reduces with a stride."""
import pytest

from images.models import nasnet_utils, pnasnet
from images.utils.tf1 import slim, tf


@pytest.mark.parametrize(('stride', 'expected'), [(1, [2, 9, 9, 20]), (2, [2, 5, 5, 20])])
def test_the_cell(stride, expected):
  with tf.Graph().as_default(), slim.arg_scope(pnasnet.pnasnet_arg_scope()):
    output = nasnet_utils.build_cell(
        tf.zeros([2, 9, 9, 7]), None, pnasnet.CELL, scope='cell', filters=4, stride=stride)
    assert output.shape == expected
