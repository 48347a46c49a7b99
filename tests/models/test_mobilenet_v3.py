"""MobileNet v3 takes images of every size."""
from images.models import mobilenet_utils, mobilenet_v3
from images.utils.tf1 import slim, tf
from tests.models import zoo


def test_every_size_works_even_one_pixel_high():
  with zoo.graph(), slim.arg_scope(mobilenet_utils.mobilenet_arg_scope()):
    images = tf.placeholder(tf.float32, [None, 1, 250, 3])
    features, _ = mobilenet_v3.mobilenet_v3_small(images, 0)
    assert features.shape.as_list() == [None, 1, 1, 1024]


def test_a_minimalistic_network_has_neither_large_kernels_nor_gates():
  with zoo.graph(), slim.arg_scope(mobilenet_utils.mobilenet_arg_scope()):
    mobilenet_v3.mobilenet_v3_small_minimalistic(tf.zeros([2, 32, 32, 3]), 10)
    variables = tf.global_variables()
    assert max(v.shape[0] for v in variables if v.shape.rank == 4) == 3
    assert not any('squeeze_excite' in v.op.name for v in variables)
