"""Builds the tensors of a step that hooks watch, averaged over the ranks."""
from images.utils import cluster_utils, preparation_utils, summary_utils
from images.utils.tf1 import tf


def progress_tensors(train_op, opt, *, loss, metrics, learning_rate, wait, skipped=None,
                     allowed=None, follow=None):
  """Return the dict of tensors that hooks watch; loss and metrics are means over ranks.

  The same exchange tells whether any rank asks all others to stop, see stop_utils, and which ranks
  have a loss that is not finite: 'lost', bool [ranks].

  Args:
    train_op: operation of a step, what opt.minimize() returned.
    opt: ReplicatedVarsOptimizer.
    loss, learning_rate: scalar float tensors.
    metrics: dict of scalar tensors, other measures of a step, by the names that the log and
      TensorBoard give them; in the result they are a dict within the dict.
    wait: scalar float tensor, seconds that this rank has waited for its images in this step; in the
      result it is float32 [ranks], as a mean would hide the one rank that all wait for.
    skipped: scalar integer tensor, undecodable images of this rank so far, or None; in the result
      it is the sum over all ranks.
    allowed: scalar integer tensor, how many all ranks together may have; a step fails with more.
    follow: function from the `skipped` of every rank, int64 [ranks], to an operation that each
      step also runs; not called without `skipped`.

  Raises:
    ValueError: one of the metrics is not a scalar, or has a name that is already logged.
  """
  size, rank = cluster_utils.size(), cluster_utils.rank()
  request = tf.placeholder_with_default(0.0, [], name='stop_request')
  own_place = tf.one_hot(rank, size)  # The mean of these holds each rank's value / size.
  shared = {'loss': loss, 'stop': request,
            'lost': tf.cast(~tf.is_finite(loss), tf.float32) * own_place,
            'wait': tf.cast(wait, tf.float32) * own_place}
  shared.update({('metrics', name): _metric(name, value) for name, value in metrics.items()})
  if skipped is not None:
    shared['skipped'] = tf.cast(skipped, tf.float32) * own_place
    shared['allowed'] = tf.cast(allowed, tf.float32)
  means = dict(zip(shared, cluster_utils.mean_of_all(list(shared.values()), 'progress')))
  tensors = dict(means, stop=means['stop'] > 0, stop_request=request, lost=means['lost'] > 0,
                 wait=means['wait'] * size, learning_rate=learning_rate, finite=opt.finite,
                 complete=opt.complete,
                 loss_scale=opt.loss_scale.value, dynamic=opt.loss_scale.is_dynamic,
                 metrics={name: means['metrics', name] for name in metrics})
  done = [train_op]
  if skipped is not None:
    of_ranks, allowed = (
        tf.cast(tf.round(means[name] * size), tf.int64) for name in ('skipped', 'allowed'))
    tensors['skipped'] = tf.reduce_sum(of_ranks)
    # Rounded up, as one rank may be in the next epoch before another.
    done.append(preparation_utils.check_bad(tensors['skipped'], -(-allowed // size)))
    done.append(follow(of_ranks))
  with tf.control_dependencies(done):
    tensors['step'] = tf.identity(tf.train.get_global_step().read_value())
  return tensors


def _metric(name, value):
  """Return one of the metrics as a float32 tensor of shape []."""
  value = tf.cast(value, tf.float32)
  if value.shape.rank not in (0, None):
    raise ValueError(f'metrics[{name!r}] has shape {value.shape}, but has to be a scalar, such as '
                     'the mean by tf.reduce_mean()')
  if name in summary_utils.TAGS:
    raise ValueError(f'metrics[{name!r}] has a name that is already logged: choose another')
  return tf.ensure_shape(value, [])
