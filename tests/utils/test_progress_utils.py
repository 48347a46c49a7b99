"""What all ranks know of a step; test_hooks_utils.py and test_ranks.py have the rest."""
import contextlib

import pytest

from images.utils import cluster_utils, paisoar, progress_utils
from images.utils.tf1 import tf


@pytest.mark.parametrize(('allowed', 'fails'), [(6, False), (5, True)])
def test_bad_images_count_over_all_ranks(monkeypatch, allowed, fails):
  """Three ranks that skip two images each."""
  monkeypatch.setattr(cluster_utils, 'size', lambda: 3)
  monkeypatch.setattr(cluster_utils, 'mean', lambda tensor, **_: tensor)
  error = contextlib.nullcontext()
  if fails:
    error = pytest.raises(tf.errors.InvalidArgumentError,
                          match=r'\[undecodable images:\] \[6\] \[so far, more than the\] \[5\] ')
  with tf.Graph().as_default(), tf.Session() as session:
    step = tf.train.get_or_create_global_step()
    opt = paisoar.ReplicatedVarsOptimizer(tf.train.GradientDescentOptimizer(0.5))
    loss = opt.compute_loss(lambda: 3.0 * tf.get_variable('w', initializer=2.0))
    tensors = progress_utils.progress_tensors(
        opt.minimize(loss, step), opt, loss=loss, skipped=tf.constant(2, tf.int64),
        allowed=tf.constant(allowed, tf.int64))
    session.run(tf.global_variables_initializer())
    with error:
      assert session.run([tensors['step'], tensors['skipped']]) == [1, 6]
