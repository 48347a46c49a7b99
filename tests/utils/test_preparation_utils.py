"""A group of records becomes images; all of training and evaluation is in test_dataset_utils.py."""
import numpy as np
import pytest

from images.datasets import mnist, tfrecord
from images.utils import preparation_utils
from images.utils.tf1 import tf
from tests.datasets import make_data


def test_what_cannot_be_decoded_is_left_out_and_named(capfd):
  def image_of(image, height, width, seed):
    return tf.ensure_shape(tf.cast(tf.image.decode_png(image), tf.float32), [height, width, 1])

  def record(number, encoded=None):
    encoded = encoded or make_data.image_bytes(np.full([4, 4], number, np.uint8))
    return tfrecord.make_example(encoded, number, image_format='png', height=4, width=4)

  prepare = preparation_utils.preparer(mnist.parse_fn, image_of, image_size=4, num_classes=9,
                                       seed=0, labels_offset=1)
  with tf.Graph().as_default(), tf.Session() as session:
    records = [record(7), record(8, b'no image'), record(9)]
    group = (np.arange(10, 13), (['a', 'b', 'b'], np.int64([1, 4, 0]), records))
    dataset = tf.data.Dataset.from_tensors(group).map(prepare)
    element = session.run(tf.data.make_one_shot_iterator(dataset).get_next())
  assert list(element['image'][:, 0, 0, 0]) == [7, 9]
  assert list(element['label']) == [6, 8]
  assert list(element['kept']) == [0, 2]
  assert list(element['place']) == [10, 11, 12]
  assert element['bad'] == 1
  assert capfd.readouterr().err.endswith('skipped an undecodable image: record 4 of "b"\n')


def test_records_that_a_parse_fn_without_features_refuses_are_skipped():
  """It may decode as well, so that a record which it refuses need not be wrong."""
  def parse_fn(example):
    features = tf.parse_single_example(example, {'img': tf.FixedLenFeature((), tf.string)})
    return tf.image.decode_png(features['img'], channels=1), tf.constant(3, tf.int64)

  def record(content):
    example = tf.train.Example()
    example.features.feature['img'].bytes_list.value.append(content)
    return example.SerializeToString()

  prepare = preparation_utils.preparer(
      parse_fn, lambda image, height, width, seed: tf.ensure_shape(image, [height, width, 1]),
      image_size=4, num_classes=9, seed=0, labels_offset=0)
  records = [record(make_data.image_bytes(np.full([4, 4], 7, np.uint8))), record(b'no image')]
  group = (np.arange(2), (['a', 'a'], np.arange(2), records))
  with tf.Graph().as_default(), tf.Session() as session:
    dataset = tf.data.Dataset.from_tensors(group).map(prepare)
    element = session.run(tf.data.make_one_shot_iterator(dataset).get_next())
  assert (element['kept'].tolist(), element['image'].max(), element['bad']) == ([0], 7, 1)


@pytest.mark.parametrize(('image', 'label', 'message'), [
    (lambda: tf.zeros([4, 7, 3]), 0, r'returns images of shape \(4, 7, 3\), not \[4, 4, channels\] '
     r'\(--preprocessing_name\)'),
    (lambda: tf.image.decode_png(''), 0, r'returns images of shape \(None, None, None\), .* decode '
     r'with channels=3, resize, or set it with set_shape\(\)'),
    (lambda: tf.placeholder_with_default(0, None), 0, r'returns images of shape <unknown>'),
    (lambda: tf.zeros([4, 4, 3]), [0], r'returns labels of shape \(1,\), but has to return '
     r'scalars: .* with tf.FixedLenFeature\(\(\), tf.int64\)')])
def test_shapes_that_are_an_error(image, label, message):
  prepare = preparation_utils.preparer(
      lambda record: (record, tf.constant(label, tf.int64)), lambda *_, **__: image(), image_size=4,
      num_classes=9, seed=0, labels_offset=0)
  group = (np.int64([0]), (['a'], np.int64([0]), ['record']))
  with tf.Graph().as_default(), pytest.raises(ValueError, match=message):
    tf.data.Dataset.from_tensors(group).map(prepare)


def test_how_many_images_of_an_epoch_may_be_bad():
  for fraction, allowed in ((0.29, 29), (0.57, 57), (0.005, 0), (1.0, 99)):
    assert preparation_utils.allowed_bad(fraction, 100) == allowed
