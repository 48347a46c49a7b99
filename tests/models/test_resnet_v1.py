"""ResNet v1 is TF-Slim's, at every size and with or without logits."""
from tf_slim.nets import resnet_v1 as slim_resnet_v1

from images.models import resnet_utils, resnet_v1
from images.utils.tf1 import slim, tf
from tests.models import zoo


def reference(name, is_training):
  def build(images):
    with slim.arg_scope(slim_resnet_v1.resnet_arg_scope()):
      logits, end_points = getattr(slim_resnet_v1, name)(
          images, 10, is_training=is_training, global_pool=True)
    end_points['predictions'] = tf.squeeze(end_points['predictions'], [1, 2])
    return tf.squeeze(logits, [1, 2]), end_points
  return build


def test_it_is_tf_slims_in_training():
  zoo.check_against(reference('resnet_v1_50', True), 'resnet_v1_50', size=65,
                    is_training=True, seed=3)


def test_deeper_ones_have_tf_slims_variables():
  zoo.check_shapes_against(reference('resnet_v1_101', False), 'resnet_v1_101', size=65)


def test_every_size_works_even_one_pixel():
  with zoo.graph(), slim.arg_scope(resnet_utils.resnet_arg_scope()):
    logits, _ = resnet_v1.resnet_v1_50(tf.zeros([2, 1, 1, 3]), num_classes=10)
    assert logits.shape == [2, 10]


def test_without_classes_it_gives_features_of_every_position_if_wanted():
  with zoo.graph(), slim.arg_scope(resnet_utils.resnet_arg_scope()):
    images = tf.placeholder(tf.float32, [2, 64, 96, 3])
    features, end_points = resnet_v1.resnet_v1_50(images, is_training=False, global_pool=False)
    assert features.shape == [2, 2, 3, 2048]
    assert list(end_points)[-1] == 'resnet_v1_50/block4'
