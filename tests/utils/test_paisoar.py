"""The steps of the optimizer with one process; test_ranks.py has several."""
import collections

import numpy as np
import pytest

from images.utils import cluster_utils, loss_scale, optimizer_utils, paisoar
from images.utils.tf1 import slim, tf

RATE = 0.5


class Step:
  """A training step on loss = a . w with w = (1, 2) and SGD, whose gradient is `a`."""

  def __init__(self, *, clip_norm=None, scale=1.0, optimizer=None, batch_norm=False, **kwargs):
    self.a = tf.placeholder(tf.float32, [2])
    self.w = tf.get_variable('w', initializer=[1.0, 2.0])
    self.opt = paisoar.ReplicatedVarsOptimizer(
        optimizer or tf.train.GradientDescentOptimizer(RATE), clip_norm=clip_norm, **kwargs)
    self.global_step = tf.train.get_or_create_global_step()

    def loss_fn():
      if batch_norm:
        slim.batch_norm(self.a[:, None], decay=0.75, is_training=True)
      return tf.reduce_sum(self.a * self.w)

    self.loss = self.opt.compute_loss(loss_fn, loss_scale=scale)
    self.train_op = self.opt.minimize(self.loss, global_step=self.global_step)
    self.session = tf.Session()
    self.session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])

  def run(self, *a):
    """Make a step with the gradient `a`; return the variable afterwards."""
    self.session.run(self.train_op, {self.a: a})
    return self.session.run(self.w)

  def state(self):
    """Return every variable but the loss scale's, by name."""
    variables = [v for v in tf.global_variables() if not v.op.name.startswith('loss_scale')]
    return dict(zip([v.op.name for v in variables], self.session.run(variables)))


@pytest.fixture(autouse=True)
def _graph():
  with tf.Graph().as_default():
    yield


@pytest.mark.parametrize('scale', [1.0, 1024.0, 0])
def test_a_step_is_that_of_the_wrapped_optimizer_at_any_loss_scale(scale):
  step = Step(scale=scale)
  np.testing.assert_array_equal(step.run(0.25, -1.0), [1 - 0.5 * 0.25, 2 + 0.5])
  assert step.session.run(step.global_step) == 1


@pytest.mark.parametrize('micro_batches', [1, 2])
def test_moving_averages_follow_good_steps(micro_batches):
  step = Step(moving_average_decay=0.24, batch_norm=True, accumulate_steps=micro_batches)
  expected = np.array([1.0, 2.0])
  np.testing.assert_array_equal(step.state()['w/ExponentialMovingAverage'], expected)
  for gradient, decay in [([0.25, -1.0], 2 / 11), ([np.inf, 0.0], 1.0), ([3.0, 4.0], 0.24)]:
    for _ in range(micro_batches):
      w = step.run(*gradient)
    expected = decay * expected + (1 - decay) * w
    np.testing.assert_allclose(step.state()['w/ExponentialMovingAverage'], expected, rtol=1e-6)
  names = {name.removesuffix('/ExponentialMovingAverage') for name in step.state()
           if name.endswith('/ExponentialMovingAverage')}
  assert names == {'w', *(f'BatchNorm/{part}' for part in (
      'beta', 'moving_mean', 'moving_variance'))}


def test_only_the_update_waits_for_all_gradients():
  Step()
  gradients = [op for op in tf.get_default_graph().get_operations() if 'gradients' in op.name]
  assert gradients
  assert not [op.name for op in gradients if op.control_inputs]
  update = next(op for op in tf.get_default_graph().get_operations() if op.type == 'Switch')
  assert {tensor.op.type for tensor in update.inputs} == {'IsFinite'}


def test_the_backward_pass_begins_after_the_loss():
  step = Step()
  [scale] = [op for op in tf.get_default_graph().get_operations()
             if step.loss.op in op.control_inputs]
  assert {op.name.split('/')[0] for op in scale.outputs[0].consumers()} == {'gradients'}


def test_the_loss_is_not_scaled():
  step = Step(scale=1024.0)
  assert step.loss.dtype == tf.float32
  assert step.session.run(step.loss, {step.a: [1, 1]}) == 3.0


def test_a_loss_for_each_image_is_an_error():
  opt = paisoar.ReplicatedVarsOptimizer(tf.train.GradientDescentOptimizer(RATE))
  with pytest.raises(ValueError, match=r'loss of shape \(2,\), but has to return a scalar'):
    opt.compute_loss(lambda: tf.constant([1.0, 2.0]))


def test_gradients_are_computed_for_the_scaled_loss():
  """What is lost in float16 without a scale: a gradient of 2**-30."""
  small = 2.0 ** -30
  found = []
  for scale in (1.0, 2.0 ** 15):
    with tf.Graph().as_default(), tf.Session() as session:
      w = tf.get_variable('w', initializer=1.0)
      opt = paisoar.ReplicatedVarsOptimizer(tf.train.GradientDescentOptimizer(2.0 ** 10))
      loss = opt.compute_loss(
          lambda w=w: tf.cast(tf.cast(w, tf.float16), tf.float32) * small, scale)
      train_op = opt.minimize(loss)
      session.run(tf.global_variables_initializer())
      session.run(train_op)
      found.append(session.run(w))
  assert found == [1.0, np.float32(1 - 2.0 ** -20)]


def test_the_order_mean_verdict_unscale_clip(monkeypatch):
  """The mean sees scaled gradients; the clipping sees the true mean."""
  seen = []

  def mean(tensor, name, compression):
    assert (name, compression) == ('w', 'none')
    seen.append(tensor)
    return tensor * 0.5  # As if another rank had a gradient of zero.

  monkeypatch.setattr(cluster_utils, 'mean', mean)
  step = Step(scale=64.0, clip_norm=1.0)
  [scaled] = step.session.run(seen, {step.a: [6.0, 8.0]})
  np.testing.assert_array_equal(scaled, [64 * 6.0, 64 * 8.0])
  # The mean is (3, 4) of norm 5: clipped to (3, 4) / 5.
  np.testing.assert_allclose(step.run(6.0, 8.0), [1 - 0.5 * 0.6, 2 - 0.5 * 0.8], rtol=1e-6)


def test_clipping_is_by_the_global_norm_of_all_variables():
  u, v = tf.get_variable('u', initializer=0.0), tf.get_variable('v', initializer=[0.0, 0.0])
  opt = paisoar.ReplicatedVarsOptimizer(tf.train.GradientDescentOptimizer(1.0), clip_norm=3.5)
  loss = opt.compute_loss(lambda: 2 * u + tf.reduce_sum(v * [3.0, 6.0]))
  train_op = opt.minimize(loss)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    session.run(train_op)
    # The norm of (2, 3, 6) is 7.
    assert session.run(u) == -1.0
    np.testing.assert_array_equal(session.run(v), [-1.5, -3.0])


def test_a_gradient_within_the_norm_is_left_alone():
  np.testing.assert_array_equal(Step(clip_norm=10.0).run(3.0, 4.0), [1 - 1.5, 2 - 2.0])


@pytest.mark.parametrize('clip_norm', [None, 1.0])
@pytest.mark.parametrize('bad', [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize('scale', [1.0, 0])
def test_a_step_that_is_not_finite_changes_nothing_but_the_scale(scale, bad, clip_norm):
  step = Step(scale=scale, clip_norm=clip_norm, batch_norm=True,
              optimizer=tf.train.AdamOptimizer(0.1))
  step.run(1.0, 3.0)
  before = step.state()
  # Averages and slots are there, and have moved.
  assert before['BatchNorm/moving_mean'] == 0.5
  assert before['global_step'] == 1
  assert np.all(before['w/Adam'] != 0)
  step.run(bad, 1.0)
  after = step.state()
  assert before.keys() == after.keys()
  for name, value in before.items():
    np.testing.assert_array_equal(after[name], value, name)
  assert step.session.run(step.opt.loss_scale.value) == (2.0 ** 14 if scale == 0 else 1.0)
  step.run(1.0, 3.0)
  assert step.session.run(step.global_step) == 2


@pytest.mark.parametrize('micro_batches', [1, 2])
@pytest.mark.parametrize('name', optimizer_utils.OPTIMIZERS)
def test_a_step_that_is_not_finite_leaves_all_that_an_optimizer_keeps(name, micro_batches):
  hyperparameters = collections.defaultdict(lambda: 0.5, ftrl_learning_rate_power=-0.5)
  step = Step(optimizer=optimizer_utils.get_optimizer(name, 0.25, hyperparameters),
              batch_norm=True, moving_average_decay=0.5, accumulate_steps=micro_batches)

  def state_after(*gradient):
    for _ in range(micro_batches):
      step.run(*gradient)
    return step.state()

  states = [state_after(1.0, 3.0), state_after(1.0, np.inf), state_after(1.0, 3.0)]
  for name, value in states[0].items():
    np.testing.assert_array_equal(states[1][name], value, name)
    if name.startswith('w'):  # And its slots and average.
      assert not np.array_equal(states[2][name], value), name


def test_the_verdict():
  step = Step()
  assert step.session.run(step.opt.finite, {step.a: [1, 2]})
  assert not step.session.run(step.opt.finite, {step.a: [1, np.inf]})


def test_batch_statistics_that_are_not_finite_are_no_good_step():
  """A rectifier may hide from the gradient what is not finite in the forward pass."""
  w = tf.get_variable('w', initializer=1.0)
  images = tf.placeholder(tf.float32, [2, 1, 1, 1])
  slim.batch_norm(images, is_training=True, decay=0.75)
  opt = paisoar.ReplicatedVarsOptimizer(tf.train.GradientDescentOptimizer(0.5))
  train_op = opt.minimize(opt.compute_loss(lambda: 3 * w))
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    for pixel, finite in ((np.nan, False), (np.inf, False), (3.0, True)):
      assert session.run(opt.finite, {images: [[[[1.0]]], [[[pixel]]]]}) == finite
    session.run(train_op, {images: [[[[1.0]]], [[[np.nan]]]]})
    # Both of the good step alone.
    [moving_mean] = slim.get_variables_by_name('moving_mean')
    assert session.run([w, moving_mean]) == [1 - 0.5 * 3, [0.5]]


def test_an_overflow_of_the_scaled_gradient_alone_is_one():
  step = Step(scale=0)
  np.testing.assert_array_equal(step.run(2.0 ** 115, 0.0), [1.0, 2.0])
  assert step.session.run(step.opt.loss_scale.value) == 2.0 ** 14


def test_the_adapted_scale_is_saved_and_restored(tmp_path, monkeypatch):
  monkeypatch.setattr(loss_scale, 'GOOD_STEPS_TO_DOUBLE', 3)
  step = Step(scale=0)
  step.run(np.inf, 0.0)
  step.run(1.0, 1.0)
  path = tf.train.Saver().save(step.session, str(tmp_path / 'model.ckpt'))
  with tf.Graph().as_default():
    resumed = Step(scale=0)
    tf.train.Saver().restore(resumed.session, path)
    scales = []
    for _ in range(3):
      scales.append(resumed.session.run(resumed.opt.loss_scale.value))
      resumed.run(1.0, 1.0)
  # The step made before the restart counts: two more are enough to double.
  assert scales == [2.0 ** 14, 2.0 ** 14, 2.0 ** 15]


def test_moving_averages_move_with_every_step():
  step = Step(batch_norm=True)
  for expected in (0.5, 0.875):  # A quarter of the way to 2.
    step.run(1.0, 3.0)
    assert step.state()['BatchNorm/moving_mean'] == expected


def test_another_kind_of_update_is_an_error():
  tf.add_to_collection(tf.GraphKeys.UPDATE_OPS, tf.get_variable('x', initializer=0.0).assign(1.0))
  with pytest.raises(ValueError, match='UPDATE_OPS is a AssignVariableOp: only updates by assign_'):
    Step()


def test_weight_decay_acts():
  w = slim.model_variable('w', [2], initializer=tf.constant_initializer([1.0, -2.0]),
                          regularizer=slim.l2_regularizer(0.5))
  opt = paisoar.ReplicatedVarsOptimizer(tf.train.GradientDescentOptimizer(0.5))
  loss = opt.compute_loss(
      lambda: 0.0 * tf.reduce_sum(w) + tf.losses.get_regularization_loss(), 256.0)
  train_op = opt.minimize(loss)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    session.run(train_op)
    # The gradient of 0.5 * w**2 / 2 is 0.5 * w.
    np.testing.assert_array_equal(session.run(w), [0.75, -1.5])


def test_var_list_chooses_what_is_trained():
  u, v = tf.get_variable('u', initializer=1.0), tf.get_variable('v', initializer=1.0)
  opt = paisoar.ReplicatedVarsOptimizer(tf.train.MomentumOptimizer(0.5, 0.9))
  train_op = opt.minimize(opt.compute_loss(lambda: u + v), var_list=[v])
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    session.run(train_op)
    assert session.run([u, v]) == [1.0, 0.5]
  assert 'u/Momentum' not in [variable.op.name for variable in tf.global_variables()]


def test_rows_of_an_embedding_are_trained():
  """Their gradient is a tf.IndexedSlices."""
  table = tf.get_variable('table', initializer=[1.0, 2.0, 3.0])
  opt = paisoar.ReplicatedVarsOptimizer(tf.train.GradientDescentOptimizer(0.5))
  train_op = opt.minimize(
      opt.compute_loss(lambda: tf.reduce_sum(tf.gather(table, [2, 2, 0]))))
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    session.run(train_op)
    np.testing.assert_array_equal(session.run(table), [0.5, 2.0, 2.0])


def test_a_loss_of_no_trained_variable_is_an_error():
  u, v = tf.get_variable('u', initializer=1.0), tf.get_variable('v', initializer=1.0)
  opt = paisoar.ReplicatedVarsOptimizer(tf.train.GradientDescentOptimizer(0.5))
  with pytest.raises(ValueError, match=r"depends on none of the trained variables: \['v'\]"):
    opt.minimize(opt.compute_loss(lambda: u * 2.0), var_list=[v])
