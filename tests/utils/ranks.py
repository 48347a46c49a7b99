"""What test_ranks.py runs on two ranks; each prints a JSON line of what it has seen.

Called as `horovodrun -np 2 python -m tests.utils.ranks FOLDER`. The training is a linear
regression on a batch of 8 that the ranks share evenly; in FOLDER is a data set of FILES.
"""
import contextlib
import json
import sys

import numpy as np

from images.datasets import dataset_factory
from images.preprocessing import preprocessing_factory
from images.utils import agreement_utils, cluster_utils, paisoar
from images.utils.tf1 import slim, tf

STEPS = 4
FILES = {'one.tfrecord': [*range(5)], 'two.tfrecord': [*range(5, 16)]}  # Their labels.
RANDOM = np.random.default_rng(0)
BATCHES = RANDOM.normal(size=[STEPS, 8, 3]).astype(np.float32)
TARGETS = RANDOM.normal(size=[STEPS, 8, 1]).astype(np.float32)


def share(batch):
  """Return this rank's part of a batch."""
  per_rank = len(batch) // cluster_utils.size()
  return batch[cluster_utils.rank() * per_rank:][:per_rank]


def build(scale, *, momentum=0.0, **options):
  """Return (x, y, loss, mean loss, opt, train_op) of the regression."""
  x, y = tf.placeholder(tf.float32, [None, 3]), tf.placeholder(tf.float32, [None, 1])
  opt = paisoar.ReplicatedVarsOptimizer(tf.train.MomentumOptimizer(0.3, momentum), clip_norm=1.0,
                                        **options)

  def loss_fn():
    slim.batch_norm(x, decay=0.5, is_training=True, scope='side')
    # Ranks start differently: the broadcast has to make them equal.
    start = tf.constant_initializer([[0.0], [0.5], [1.0]] if cluster_utils.is_chief() else 9.0)
    w = tf.get_variable('w', [3, 1], initializer=start)
    # And their gradients come from operations of other names, as those of other processors do.
    with tf.name_scope(f'of_rank_{cluster_utils.rank()}'):
      w = 1.0 * w
    return (tf.reduce_mean(tf.square(x @ w - y))
            + 0.01 * tf.reduce_sum(tf.square(w)))

  loss = opt.compute_loss(loss_fn, loss_scale=scale)
  train_op = opt.minimize(loss, global_step=tf.train.get_or_create_global_step())
  return x, y, loss, cluster_utils.mean(loss, 'loss'), opt, train_op


def train(scale, *, poisoned_step=None, **options):
  """Train; return the trace, a list of what is known after each run of the training operation.

  At `poisoned_step` the last rank alone gets an infinite image.
  """
  trace = []
  with tf.Graph().as_default(), tf.Session(config=cluster_utils.session_config()) as session:
    x, y, loss, mean_loss, opt, train_op = build(scale, **options)
    session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
    session.run(cluster_utils.broadcast_global_variables())
    [w] = tf.global_variables('w:')
    [slot] = tf.global_variables('w/Momentum')
    [average] = tf.global_variables('side/moving_mean')
    for step in range(STEPS):
      feed = {x: share(BATCHES[step]).copy(), y: share(TARGETS[step])}
      if step == poisoned_step and cluster_utils.rank() == cluster_utils.size() - 1:
        feed[x][0] = np.inf
      values = session.run([loss, mean_loss, opt.finite, train_op], feed)
      trace.append({
          'loss': float(values[0]), 'mean_loss': float(values[1]), 'finite': bool(values[2]),
          'w': session.run(w).ravel().tolist(), 'slot': session.run(slot).ravel().tolist(),
          'average': session.run(average).tolist(),
          'global_step': int(session.run(tf.train.get_global_step())),
          'scale': float(session.run(opt.loss_scale.value))})
  return trace


def collectives():
  """Return what each collective gives, called with another type on each rank."""
  value = ('a tuple', None) if cluster_utils.is_chief() else {'a': 'dict', 'of': ['some', 'size']}
  return {
      'rank': cluster_utils.rank(), 'size': cluster_utils.size(),
      'local_rank': cluster_utils.local_rank(), 'local_size': cluster_utils.local_size(),
      'chief': cluster_utils.is_chief(), 'transport': cluster_utils.transport(),
      'broadcast': cluster_utils.broadcast_object(value),
      'broadcast_none': cluster_utils.broadcast_object(
          'chief' if cluster_utils.is_chief() else None),
      'gathered': cluster_utils.gather_objects(
          {'only': 'here'} if cluster_utils.is_chief() else [1, 'x' * 1000]),
      'threads': cluster_utils.session_config().intra_op_parallelism_threads,
  }


def disagreement():
  """Return what agreement_utils.check() says of facts that only the chief has otherwise."""
  agreement_utils.check('flags', {'--same': 1})
  facts = {'--same': 1, '--batch_size': 32 if cluster_utils.is_chief() else 16}
  if cluster_utils.is_chief():
    facts['--extra'] = 'x'
  try:
    agreement_utils.check('flags', facts)
  except ValueError as error:
    return str(error)
  return None


def epoch_of_files(folder):
  """Return the labels of the records that this rank takes in the steps that make an epoch."""
  with tf.Graph().as_default(), tf.Session(config=cluster_utils.session_config()) as session:
    _, labels = dataset_factory.get_dataset_iterator(
        'cifar10', 8, preprocessing_factory.get_preprocessing('lenet', is_training=True),
        dataset_factory.get_data_sources('cifar10', folder, ','.join(FILES)), num_classes=16,
        batch_size=2, seed=1).get_next()
    session.run([tf.tables_initializer(), tf.global_variables_initializer()])
    return [int(label) for _ in range(8 // cluster_utils.size()) for label in session.run(labels)]


def main():
  tf.logging.set_verbosity(tf.logging.ERROR)
  cluster_utils.init(enable_paisoar=True)
  seen = {'collectives': collectives(), 'plain': train(1.0), 'scaled': train(1024.0),
          'poisoned': train(0, poisoned_step=1, momentum=0.9),
          'compressed': train(1.0, gradient_compression='fp16'),
          'accumulated': train(1024.0, accumulate_steps=2),
          'accumulated, poisoned': train(0, accumulate_steps=2, poisoned_step=0),
          'disagreement': disagreement(), 'epoch': epoch_of_files(sys.argv[1])}
  with contextlib.suppress(BrokenPipeError):
    sys.stdout.write('\n' + json.dumps(seen) + '\n')


if __name__ == '__main__':
  main()
