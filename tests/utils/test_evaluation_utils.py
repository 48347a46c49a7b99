import json
import logging
import os
import time

import numpy as np
import pytest

from images.utils import cluster_utils, evaluation_utils, stall_utils
from images.utils.tf1 import tf

# A linear network: logits = x @ WEIGHTS.
RANDOM = np.random.default_rng(0)
WEIGHTS = RANDOM.normal(size=[3, 8]).astype(np.float32)
IMAGES = RANDOM.normal(size=[50, 3]).astype(np.float32)
LABELS = RANDOM.integers(0, 8, 50)


@pytest.fixture
def checkpoint(tmp_path):
  """A checkpoint of the linear network at step 1234."""
  with tf.Graph().as_default(), tf.Session() as session:
    tf.get_variable('weights', initializer=WEIGHTS)
    tf.get_variable('global_step', initializer=np.int64(1234))
    session.run(tf.global_variables_initializer())
    return tf.train.Saver().save(session, str(tmp_path / 'model.ckpt'))


def evaluate(checkpoint, *, images=IMAGES, labels=LABELS, good=None, network=None, **kwargs):
  """Return the result for batches of 8, the last one smaller."""
  good = np.ones(len(labels), bool) if good is None else good
  with tf.Graph().as_default():
    elements = {'image': images, 'label': labels.astype(np.int64), 'good': good}
    iterator = tf.data.make_initializable_iterator(
        tf.data.Dataset.from_tensor_slices(elements).batch(8))
    batch = iterator.get_next()
    logits = network(batch['image']) if network else batch['image'] @ tf.get_variable(
        'weights', WEIGHTS.shape)
    return evaluation_utils.evaluate(iterator, batch, logits=logits, checkpoint=checkpoint,
                                     **{'max_bad_fraction': 1.0, **kwargs})


def expected_counts(good):
  """Return how many of the good images are right, by sorting."""
  order = np.argsort(-(IMAGES.astype(np.float64) @ WEIGHTS), axis=1)
  place = np.argmax(order == LABELS[:, None], axis=1)
  return int(np.sum(good & (place < 1))), int(np.sum(good & (place < 5)))


def test_exact_counts(checkpoint):
  top_1, top_5 = expected_counts(np.ones(50, bool))
  assert 0 < top_1 < top_5 < 50
  assert evaluate(checkpoint) == {
      'images': 50, 'top_1_count': top_1, 'top_5_count': top_5, 'skipped': 0,
      'not_finite': 0, 'top_1': top_1 / 50, 'top_5': top_5 / 50,
      'checkpoint': checkpoint, 'step': 1234}


def test_undecodable_images_count_apart(checkpoint):
  good = np.arange(50) % 3 != 1
  good[-2:] = False
  result = evaluate(checkpoint, good=good)
  assert (result['images'], result['skipped']) == (int(good.sum()), int((~good).sum()))
  assert (result['top_1_count'], result['top_5_count']) == expected_counts(good)


def test_too_many_undecodable_images_over_all_ranks(checkpoint, monkeypatch):
  monkeypatch.setattr(cluster_utils, 'gather_objects', lambda totals: [totals, [50, 9, 9, 0, 0]])
  good = np.arange(50) > 3
  assert evaluate(checkpoint, good=good, max_bad_fraction=0.04)['skipped'] == 4
  with pytest.raises(ValueError, match=r'images: 4 of 100, more than --max_bad_fraction=0\.03 '):
    evaluate(checkpoint, good=good, max_bad_fraction=0.03)


@pytest.mark.parametrize(('row', 'top_1_of_labels', 'top_5_of_labels'), [
    # Of equal logits the first is the larger.
    ([0.0] * 8, [1, 0, 0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 0, 0, 0]),
    ([0.0, 1.0, 1.0, 0.0], [0, 1, 0, 0], [1, 1, 1, 1]),
    # What is not finite is wrong.
    ([0.0, np.nan, 1.0, 2.0], [0, 0, 0, 0], [0, 0, 0, 0]),
    ([0.0, np.inf, 1.0, 2.0], [0, 0, 0, 0], [0, 0, 0, 0]),
])
def test_equal_logits_and_logits_that_are_not_finite(row, top_1_of_labels, top_5_of_labels):
  with tf.Graph().as_default(), tf.Session() as session:
    logits = tf.constant([row] * len(row), tf.float32)
    found = [evaluation_utils._in_top_k(logits, tf.range(len(row)), k) for k in (1, 5)]
    top_1, top_5 = session.run(found)
  np.testing.assert_array_equal(top_1, np.array(top_1_of_labels, bool))
  np.testing.assert_array_equal(top_5, np.array(top_5_of_labels, bool))


def test_logits_that_are_not_finite_are_counted(checkpoint, tmp_path, caplog):
  images = IMAGES.copy()
  images[[3, 20, 49]] = np.nan
  result = evaluate(checkpoint, images=images, good=np.arange(50) != 20)
  assert (result['images'], result['not_finite']) == (49, 2)
  evaluation_utils.report({**result, 'compute': 'float32'}, str(tmp_path))
  assert 'output for 2 of the images is not finite; these count as wrong' in caplog.text


def test_no_image_at_all_is_an_error(checkpoint):
  with pytest.raises(ValueError, match='no image that can be decoded'):
    evaluate(checkpoint, good=np.zeros(50, bool))


def test_a_checkpoint_of_another_network_is_an_error(checkpoint):
  def network(images):
    return images @ tf.get_variable('weights', [3, 9])
  with pytest.raises(ValueError, match=r'does not fit the network: weights has shape \[3, 8\] in '):
    evaluate(checkpoint, network=network)


RESULT = {'images': 8, 'top_1_count': 1, 'top_5_count': 6, 'skipped': 2, 'not_finite': 0,
          'top_1': 0.125, 'top_5': 0.75, 'checkpoint': 'x/model.ckpt-7', 'step': 7,
          'compute': 'bfloat16'}


def test_the_report_is_logged_and_written(tmp_path, caplog):
  caplog.set_level(logging.INFO)
  evaluation_utils.report(RESULT, str(tmp_path))
  assert ('top-1 0.1250 (1 of 8), top-5 0.7500 (6), 2 undecodable images skipped, '
          'in bfloat16: x/model.ckpt-7') in caplog.text
  assert json.loads((tmp_path / 'evaluation.json').read_text()) == RESULT
  assert sorted(os.listdir(tmp_path)) == ['eval', 'evaluation.json']
  (path,) = (tmp_path / 'eval').iterdir()
  (event,) = [event for event in tf.train.summary_iterator(str(path)) if event.summary.value]
  assert event.step == 7
  assert {value.tag: value.simple_value for value in event.summary.value} == {
      'accuracy': 0.125, 'top_5_accuracy': 0.75}


def test_evaluations_that_end_in_the_same_second_have_files_of_their_own(tmp_path, monkeypatch):
  monkeypatch.setattr(time, 'time', lambda: 1000.0)
  for process in (1, 2):
    monkeypatch.setattr(os, 'getpid', lambda process=process: process)
    evaluation_utils.report({**RESULT, 'step': process}, str(tmp_path))
  steps = [event.step for path in (tmp_path / 'eval').iterdir()
           for event in tf.train.summary_iterator(str(path)) if event.summary.value]
  assert sorted(steps) == [1, 2]


def test_each_batch_is_progress(checkpoint, monkeypatch):
  """Other ranks may be through with theirs, and wait; and this one is watched meanwhile."""
  moves = []
  monkeypatch.setattr(stall_utils, 'heartbeat', lambda: moves.append(stall_utils._watch.describe()))
  evaluate(checkpoint)
  assert moves == ['the same command repeats the evaluation'] * 7  # 50 images in batches of 8.
  assert stall_utils._watch.describe is None


def test_every_rank_evaluates_the_variables_of_the_chief(checkpoint, monkeypatch):
  """Which need not be where another rank could load them."""
  top_1, _ = expected_counts(np.ones(50, bool))
  monkeypatch.setattr(cluster_utils, 'rank', lambda: 1)
  monkeypatch.setattr(cluster_utils, 'broadcast_object', lambda value: 7)
  monkeypatch.setattr(cluster_utils, 'broadcast_global_variables',
                      lambda: tf.global_variables('weights')[0].assign(WEIGHTS))
  assert evaluate('/absent/model.ckpt')['top_1_count'] == top_1
