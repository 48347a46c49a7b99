"""CifarNet normalizes responses in every precision."""
import pytest

from images.models import cifarnet
from images.utils.tf1 import tf


@pytest.mark.parametrize('dtype', [tf.float32, tf.float16, tf.bfloat16])
def test_logits_keep_the_dtype_of_the_images(dtype):
  with tf.Graph().as_default(), tf.Session() as session:
    logits, _ = cifarnet.cifarnet(tf.zeros([2, 32, 32, 3], dtype), num_classes=10)
    session.run(tf.global_variables_initializer())
    assert session.run(logits).dtype == dtype


def test_too_small_images_are_told_the_smallest_size():
  with tf.Graph().as_default(), pytest.raises(ValueError, match='cifarnet .*size is 4 x 4'):
    cifarnet.cifarnet(tf.zeros([2, 32, 3, 3]))


def test_images_of_unknown_size_are_told_what_to_do():
  with tf.Graph().as_default(), pytest.raises(ValueError, match='cifarnet .*set_shape'):
    cifarnet.cifarnet(tf.placeholder(tf.float32, [2, 32, None, 3]))
