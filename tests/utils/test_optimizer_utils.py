"""Each optimizer by the formula of its paper."""
import numpy as np
import pytest

from images.utils import optimizer_utils
from images.utils.tf1 import tf

# The values of the flags; all differ from the optimizers' own defaults.
FLAGS = {
    'adadelta_rho': 0.8, 'adagrad_initial_accumulator_value': 0.2, 'adam_beta1': 0.7,
    'adam_beta2': 0.6, 'opt_epsilon': 0.5, 'ftrl_learning_rate_power': -0.4,
    'ftrl_initial_accumulator_value': 0.3, 'ftrl_l1': 0.05, 'ftrl_l2': 0.02, 'momentum': 0.75,
    'rmsprop_momentum': 0.65, 'rmsprop_decay': 0.85, 'batch_size': 32, 'model_dir': None,
}
RATE = 0.1
START = 2.0
GRADIENTS = [3.0, -1.0]


def trajectory(name):
  """Return the variable after each of two steps."""
  with tf.Graph().as_default(), tf.Session() as session:
    variable = tf.get_variable('w', initializer=START)
    gradient = tf.placeholder(tf.float32, [])
    optimizer = optimizer_utils.get_optimizer(name, tf.constant(RATE), FLAGS)
    step = optimizer.apply_gradients([(gradient, variable)])
    session.run(tf.global_variables_initializer())
    found = []
    for value in GRADIENTS:
      session.run(step, {gradient: value})
      found.append(session.run(variable))
    return found


def sgd():
  w = START
  for g in GRADIENTS:
    w -= RATE * g
    yield w


def momentum():
  w, m = START, 0.0
  for g in GRADIENTS:
    m = 0.75 * m + g
    w -= RATE * m
    yield w


def adagrad():
  w, total = START, 0.2
  for g in GRADIENTS:
    total += g * g
    w -= RATE * g / np.sqrt(total)
    yield w


def adadelta():
  w, mean, mean_update = START, 0.0, 0.0
  for g in GRADIENTS:
    mean = 0.8 * mean + 0.2 * g * g
    update = g * np.sqrt(mean_update + 0.5) / np.sqrt(mean + 0.5)
    mean_update = 0.8 * mean_update + 0.2 * update * update
    w -= RATE * update
    yield w


def adam():
  # With the epsilon of the paper's section 2, "epsilon hat", as TensorFlow has it.
  w, first, second = START, 0.0, 0.0
  for t, g in enumerate(GRADIENTS, start=1):
    first = 0.7 * first + 0.3 * g
    second = 0.6 * second + 0.4 * g * g
    w -= RATE * np.sqrt(1 - 0.6 ** t) / (1 - 0.7 ** t) * first / (np.sqrt(second) + 0.5)
    yield w


def rmsprop():
  # TensorFlow's mean square starts at one.
  w, mean, m = START, 1.0, 0.0
  for g in GRADIENTS:
    mean = 0.85 * mean + 0.15 * g * g
    m = 0.65 * m + RATE * g / np.sqrt(mean + 0.5)
    w -= m
    yield w


def ftrl():
  w, total, linear = START, 0.3, 0.0
  for g in GRADIENTS:
    new = total + g * g
    linear += g - (new ** 0.4 - total ** 0.4) / RATE * w
    total = new
    quadratic = total ** 0.4 / RATE + 2 * 0.02
    w = (np.sign(linear) * 0.05 - linear) / quadratic if abs(linear) > 0.05 else 0.0
    yield w


FORMULAS = {f.__name__: f for f in (adadelta, adagrad, adam, ftrl, momentum, rmsprop, sgd)}


@pytest.mark.parametrize('name', FORMULAS)
def test_two_steps_by_hand(name):
  np.testing.assert_allclose(trajectory(name), list(FORMULAS[name]()), rtol=2e-6)


def test_these_are_all_the_optimizers():
  assert set(optimizer_utils.OPTIMIZERS) == set(FORMULAS)


def test_an_unknown_name_lists_the_known_ones_nearest_first():
  with pytest.raises(ValueError, match=r"^unknown optimizer \(--optimizer\): 'momentun'; known, "
                                       'nearest first: momentum, [a-z, ]+$'):
    optimizer_utils.get_optimizer('momentun', 0.1, FLAGS)
