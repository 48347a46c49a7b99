"""Inception v2 is TF-Slim's, and takes images of other sizes."""
from tf_slim.nets import inception as slim_inception

from images.models import inception_utils, inception_v2
from images.utils.tf1 import slim, tf
from tests.models import zoo


def test_it_is_tf_slims():
  def reference(images):
    with slim.arg_scope(slim_inception.inception_v2_arg_scope()):
      return slim_inception.inception_v2(images, 10, is_training=True, dropout_keep_prob=1.0)

  zoo.check_against(reference, 'inception_v2', size=100, is_training=True, seed=3)


def test_every_size_works_and_its_first_layer_is_unlike_the_others():
  with zoo.graph(), slim.arg_scope(inception_utils.inception_arg_scope(4e-5)):
    features, _ = inception_v2.inception_v2(tf.zeros([2, 1, 300, 3]), 0)
    assert features.shape == [2, 1, 1, 1024]
    assert [v.op.name for v in tf.global_variables()][1:5] == [
        'InceptionV2/Conv2d_1a_7x7/depthwise_weights',
        'InceptionV2/Conv2d_1a_7x7/pointwise_weights',
        'InceptionV2/Conv2d_1a_7x7/biases',
        'InceptionV2/Conv2d_2b_1x1/weights']
    assert not any('Conv2d_1a_7x7' in loss.name for loss in
                   tf.losses.get_regularization_losses())
