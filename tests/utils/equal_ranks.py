"""What test_equal_ranks.py runs on one, two and three ranks: 20 steps on the same records.

Called as `horovodrun -np 2 python -m tests.utils.equal_ranks FOLDER`; the chief writes the
weights of each case to FOLDER/ranks-2.npz. The ranks share every global batch of 12 evenly.

The network is smooth: a rectifier or a maximum whose inputs come within a rounding error of its
kink has either of two gradients far apart, by chance, as the order of a sum over ranks is.
"""
import pathlib
import sys
from unittest import mock

import numpy as np

from images.utils import cluster_utils, hooks_utils, loss_scale, paisoar
from images.utils.tf1 import slim, tf

STEPS = 20
GLOBAL_BATCH = 12
IMAGES = np.random.default_rng(0).uniform(-1, 1, [40, 8, 8, 3]).astype(np.float32)
LABELS = np.arange(40) % 10

# name -> (arguments of the optimizer, loss scale; 0 is one that adapts)
CASES = {
    'plain': ({}, 1.0),
    'clipped, static scale': ({'clip_norm': 0.5}, 1024.0),
    'clipped, dynamic scale': ({'clip_norm': 0.5}, 0),
    'accumulated': ({'accumulate_steps': 2}, 1.0),
    'accumulated, clipped, dynamic scale': ({'accumulate_steps': 2, 'clip_norm': 0.5}, 0),
    'overflowing': ({}, 0),
}
# The scale that 'overflowing' starts with, and how many steps it then skips.
OVERFLOWING, SKIPPED = 2.0 ** 17, 2


def next_batch(size):
  """Return this rank's share of the next `size` images and labels, which start anew at the end."""
  dataset = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).repeat()
  batch = tf.data.make_one_shot_iterator(dataset.batch(size, drop_remainder=True)).get_next()
  share = size // cluster_utils.size()
  return [tensor[cluster_utils.rank() * share:][:share] for tensor in batch]


def build_network(images):
  """Return the logits [batch, 10] of images [batch, 8, 8, 3], float32."""
  with slim.arg_scope([slim.conv2d, slim.fully_connected], activation_fn=tf.nn.softplus,
                      biases_initializer=tf.truncated_normal_initializer(stddev=0.1),
                      weights_regularizer=slim.l2_regularizer(0.01)):
    net = slim.avg_pool2d(slim.conv2d(images, 32, 3, scope='conv1'), 2)
    net = slim.avg_pool2d(slim.conv2d(net, 64, 3, scope='conv2'), 2)
    return slim.fully_connected(slim.flatten(net), 10, activation_fn=None, scope='logits')


def train(case):
  """Return the weights, a dict of arrays, after STEPS steps of gradient descent."""
  options, scale = CASES[case]
  runs, overflows = options.get('accumulate_steps', 1), case == 'overflowing'
  initial = OVERFLOWING if overflows else loss_scale.INITIAL_SCALE
  with mock.patch.object(loss_scale, 'INITIAL_SCALE', initial), tf.Graph().as_default():
    tf.set_random_seed(1)
    opt = paisoar.ReplicatedVarsOptimizer(tf.train.GradientDescentOptimizer(0.05), **options)

    def loss_fn():
      images, labels = next_batch(GLOBAL_BATCH // runs)
      loss = tf.losses.sparse_softmax_cross_entropy(labels, build_network(images))
      if overflows:
        # Its gradient is the scale, in float16, where it is infinite from 2 ** 16 on.
        biases = tf.global_variables('logits/biases')[0]
        loss += tf.reduce_sum(tf.cast(tf.cast(biases, tf.float16), tf.float32))
      return loss + tf.losses.get_regularization_loss()

    global_step = tf.train.get_or_create_global_step()
    train_op = opt.minimize(opt.compute_loss(loss_fn, scale), global_step)
    with tf.train.MonitoredTrainingSession(hooks=[hooks_utils.BroadcastGlobalVariablesHook()],
                                           config=cluster_utils.session_config()) as session:
      for _ in range(STEPS * runs + (SKIPPED if overflows else 0)):
        session.run(train_op)
      assert session.run(global_step) == STEPS
      if overflows:
        assert session.run(opt.loss_scale.value) == OVERFLOWING / 2 ** SKIPPED
      return {v.op.name: session.run(v) for v in tf.trainable_variables()}


def train_all():
  """Return the weights of all cases, a dict of arrays."""
  return {f'{case}: {name}': value for case in CASES
          for name, value in train(case).items()}


if __name__ == '__main__':
  tf.logging.set_verbosity(tf.logging.ERROR)
  cluster_utils.init(enable_paisoar=True)
  weights = train_all()
  if cluster_utils.is_chief():
    np.savez(pathlib.Path(sys.argv[1]) / f'ranks-{cluster_utils.size()}.npz', **weights)
