"""What all ranks know of a step; test_hooks_utils.py and test_ranks.py have the rest."""
import contextlib

import numpy as np
import pytest

from images.utils import cluster_utils, paisoar, progress_utils
from images.utils.tf1 import tf


def build(allowed, metrics=(), *, wait=0.0, follow=lambda skipped: tf.no_op()):
  """Return the tensors of a step before which this rank has skipped two images."""
  step = tf.train.get_or_create_global_step()
  opt = paisoar.ReplicatedVarsOptimizer(tf.train.GradientDescentOptimizer(0.5))
  loss = opt.compute_loss(lambda: 3.0 * tf.get_variable('w', initializer=2.0))
  return progress_utils.progress_tensors(
      opt.minimize(loss, step), opt, loss=loss, metrics=dict(metrics),
      learning_rate=tf.constant(0.5), wait=wait, skipped=tf.constant(2, tf.int64),
      allowed=tf.constant(allowed, tf.int64), follow=follow)


@pytest.mark.parametrize(('allowed', 'fails'), [(6, False), (5, True)])
def test_bad_images_count_over_all_ranks(monkeypatch, allowed, fails):
  """Three ranks that skip two images each."""
  monkeypatch.setattr(cluster_utils, 'size', lambda: 3)
  monkeypatch.setattr(cluster_utils, 'mean', lambda tensor, *_: tensor)
  error = contextlib.nullcontext()
  if fails:
    error = pytest.raises(tf.errors.InvalidArgumentError,
                          match=r'\[undecodable images:\] \[6\] \[so far, more than the\] \[5\] ')
  with tf.Graph().as_default(), tf.Session() as session:
    tensors = build(allowed)
    session.run(tf.global_variables_initializer())
    with error:
      assert session.run([tensors['step'], tensors['skipped']]) == [1, 6]


def test_one_rank_may_be_in_the_next_epoch_before_another(monkeypatch):
  """Of three ranks that allow 4 together, as 2, 1 and 1, one has skipped two images."""
  monkeypatch.setattr(cluster_utils, 'size', lambda: 3)
  monkeypatch.setattr(cluster_utils, 'mean', lambda tensor, *_: tensor / 3)
  with tf.Graph().as_default(), tf.Session() as session:
    tensors = build(4)
    session.run(tf.global_variables_initializer())
    assert session.run([tensors['step'], tensors['skipped']]) == [1, 2]


def test_each_step_knows_how_long_each_rank_has_waited(monkeypatch):
  """This one, which is the second of three, for 1.5 s, and the others not."""
  monkeypatch.setattr(cluster_utils, 'size', lambda: 3)
  monkeypatch.setattr(cluster_utils, 'rank', lambda: 1)
  monkeypatch.setattr(cluster_utils, 'mean', lambda tensor, *_: tensor / 3)
  with tf.Graph().as_default(), tf.Session() as session:
    tensors = build(10, wait=tf.constant(1.5, tf.float64))
    session.run(tf.global_variables_initializer())
    assert session.run(tensors['wait']).tolist() == [0, 1.5, 0]


@pytest.mark.parametrize('size', [3, 41])
def test_each_step_knows_what_each_rank_has_skipped(monkeypatch, size):
  """This one, which is the second, two images, and the others none; 41 x (2 / 41) is below 2."""
  monkeypatch.setattr(cluster_utils, 'size', lambda: size)
  monkeypatch.setattr(cluster_utils, 'rank', lambda: 1)
  monkeypatch.setattr(cluster_utils, 'mean', lambda tensor, *_: tensor / size)
  with tf.Graph().as_default(), tf.Session() as session:
    seen = tf.get_variable('seen', [size], tf.int64)
    tensors = build(2 * size, follow=seen.assign)
    session.run(tf.global_variables_initializer())
    session.run(tensors['step'])
    assert session.run(seen).tolist() == [0, 2] + [0] * (size - 2)


def test_loss_and_metrics_are_means_over_the_ranks(monkeypatch):
  """Of this rank, whose loss is 6, and two of zero."""
  monkeypatch.setattr(cluster_utils, 'size', lambda: 3)
  monkeypatch.setattr(cluster_utils, 'mean', lambda tensor, *_: tensor / 3)
  with tf.Graph().as_default(), tf.Session() as session:
    tensors = build(10, {'accuracy': tf.constant(0.75), 'nine': tf.constant(9), 'one': 1.0})
    session.run(tf.global_variables_initializer())
    assert session.run([tensors['loss'], tensors['metrics']]) == [
        2.0, {'accuracy': 0.25, 'nine': 3.0, 'one': pytest.approx(1 / 3)}]


def test_a_metric_may_hide_its_shape():
  with tf.Graph().as_default(), tf.Session() as session:
    hidden = tf.numpy_function(lambda: np.float64(0.5), [], tf.float64)
    tensors = build(10, {'hidden': hidden})
    assert tensors['metrics']['hidden'].shape == []
    session.run(tf.global_variables_initializer())
    assert session.run(tensors['metrics']) == {'hidden': 0.5}


@pytest.mark.parametrize('name', ['loss', 'learning_rate', 'loss_scale'])
def test_a_metric_has_a_name_of_its_own(name):
  with tf.Graph().as_default(), pytest.raises(
      ValueError, match=rf"metrics\['{name}'\] has a name that is already logged: choose another"):
    build(10, {name: 1.0})


def test_a_metric_for_each_image_is_an_error():
  with tf.Graph().as_default(), pytest.raises(
      ValueError, match=r"metrics\['top_5'\] has shape \(2,\), but has to be a scalar, such as"):
    build(10, {'top_5': tf.constant([1.0, 0.0])})
