"""NASNet-A concatenates six states of a normal and four of a reduction cell."""
import pytest

from images.models import nasnet, nasnet_utils
from images.utils.tf1 import slim, tf


@pytest.mark.parametrize(('cell', 'stride', 'expected'), [
    (nasnet.NORMAL, 1, [2, 9, 9, 24]), (nasnet.REDUCTION, 2, [2, 5, 5, 16])])
def test_cells(cell, stride, expected):
  with tf.Graph().as_default(), slim.arg_scope(nasnet.nasnet_mobile_arg_scope()):
    output = nasnet_utils.build_cell(
        tf.zeros([2, 9, 9, 7]), None, cell, scope='cell', filters=4, stride=stride)
    assert output.shape == expected
    assert not any('biases' in v.op.name for v in tf.global_variables())
