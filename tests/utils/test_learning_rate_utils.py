"""The step tables of the learning rate, each worked out here once more without TensorFlow."""
import itertools
import math

import numpy as np
import pytest

from images.utils import learning_rate_utils
from images.utils.tf1 import tf

TYPES = ['fixed', 'exponential', 'polynomial', 'cosine']


def rates(steps, **kwargs):
  """Return the learning rate at each of `steps`, a float32 array."""
  with tf.Graph().as_default(), tf.Session() as session:
    step = tf.placeholder(tf.int64, [])
    rate = learning_rate_utils.get_learning_rate(step, **{
        'decay_steps': 1, 'learning_rate_decay_type': 'exponential',
        'learning_rate_decay_factor': 0.94, 'end_learning_rate': 0.0, **kwargs})
    assert (rate.dtype, rate.shape.rank) == (tf.float32, 0)
    return np.array([session.run(rate, {step: s}) for s in steps])


# (scheme, total steps) -> {first step: learning rate from there on, for 1.0 at the start}
STEP_TABLE = {
    ('luong234', 1200): {0: 1, 800: 1 / 2, 900: 1 / 4, 1000: 1 / 8, 1100: 1 / 16},
    ('luong5', 1000): {0: 1, 500: 1 / 2, 600: 1 / 4, 700: 1 / 8, 800: 1 / 16, 900: 1 / 32},
    ('luong10', 1000): {0: 1, 500: 1 / 2, 550: 1 / 4, 600: 1 / 8, 650: 1 / 16, 700: 1 / 32,
                        750: 1 / 64, 800: 1 / 128, 850: 1 / 256, 900: 1 / 512, 950: 1 / 1024},
    # The script's default of 100 steps: 2/3 of them are 66, then 34/4 = 8.5 to the next.
    ('luong234', 100): {0: 1, 66: 1 / 2, 74: 1 / 4, 83: 1 / 8, 91: 1 / 16},
}


@pytest.mark.parametrize(('scheme', 'total_steps'), STEP_TABLE)
def test_the_halvings_of_a_scheme(scheme, total_steps):
  table = STEP_TABLE[scheme, total_steps]
  steps = sorted({s for first in table for s in (max(0, first - 1), first, first + 1)}
                 | {total_steps - 1, total_steps})
  expected = [table[max(first for first in table if first <= step)] for step in steps]
  np.testing.assert_array_equal(
      rates(steps, learning_rate=1.0, total_steps=total_steps, decay_scheme=scheme), expected)


def test_a_scheme_halves_whatever_the_factor():
  assert rates([99], learning_rate=1.0, total_steps=100, decay_scheme='luong5',
               learning_rate_decay_factor=0.9, decay_steps=1) == [1 / 32]


def test_exponential_without_a_scheme():
  steps = [0, 1, 9, 10, 19, 20, 30, 99, 100]
  expected = [0.5 * 0.94 ** e for e in (0, 0, 0, 1, 1, 2, 3, 9, 10)]
  np.testing.assert_allclose(
      rates(steps, learning_rate=0.5, total_steps=100, decay_steps=10), expected, rtol=1e-6)


def test_epochs_need_not_be_whole_numbers_of_steps():
  """As those of 40 images in batches of 16, or of 8 in batches of 16."""
  np.testing.assert_array_equal(
      rates(range(9), learning_rate=1.0, total_steps=100, decay_steps=2.5,
            learning_rate_decay_factor=0.5), 0.5 ** np.array([0, 0, 0, 1, 1, 2, 2, 2, 3]))
  np.testing.assert_array_equal(
      rates([0, 1, 2], learning_rate=1.0, total_steps=100, decay_steps=0.5,
            learning_rate_decay_factor=0.5), [1, 1 / 4, 1 / 16])


@pytest.mark.parametrize(('images', 'batch', 'step', 'decays'), [
    (3320, 21, 6640, 21), (60000, 63, 120000, 63), (60000, 63, 119999, 62)])
def test_an_epoch_that_ends_with_a_step_counts(images, batch, step, decays):
  """Where rounding in float32 would lose it; two epochs for each decay."""
  assert rates([step], learning_rate=1.0, total_steps=10 ** 6, decay_steps=images * 2 / batch,
               learning_rate_decay_factor=0.5) == [0.5 ** decays]


def test_exponential_goes_by_epochs_that_are_ahead_of_the_step():
  kwargs = {'learning_rate': 0.5, 'total_steps': 100, 'decay_steps': 10}
  np.testing.assert_array_equal(rates([0, 3, 6, 7, 17], **kwargs, ahead=3),
                                rates([3, 6, 9, 10, 20], **kwargs))


def test_polynomial_is_a_line_to_the_floor_at_the_last_step():
  np.testing.assert_allclose(
      rates([0, 1, 50, 75, 100], learning_rate=1.0, end_learning_rate=0.2, total_steps=100,
            learning_rate_decay_type='polynomial'),
      [1.0, 1 - 0.008, 0.6, 0.4, 0.2], rtol=1e-6)


def test_polynomial_with_a_scheme_starts_where_the_scheme_does():
  np.testing.assert_allclose(
      rates([0, 599, 600, 750, 900], learning_rate=1.0, end_learning_rate=0.1, total_steps=900,
            learning_rate_decay_type='polynomial', decay_scheme='luong234'),
      [1.0, 1.0, 1.0, 0.55, 0.1], rtol=1e-6)


def test_cosine():
  np.testing.assert_allclose(
      rates([0, 25, 50, 75, 100], learning_rate=1.0, end_learning_rate=0.2, total_steps=100,
            learning_rate_decay_type='cosine'),
      [1.0, 0.6 + 0.4 * math.sqrt(0.5), 0.6, 0.6 - 0.4 * math.sqrt(0.5), 0.2], rtol=1e-6)


def test_cosine_with_a_scheme_starts_where_the_scheme_does():
  np.testing.assert_allclose(
      rates([49, 50, 75, 100], learning_rate=1.0, total_steps=100, decay_scheme='luong10',
            learning_rate_decay_type='cosine'), [1.0, 1.0, 0.5, 0.0], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize('scheme', [None, 'luong5'])
def test_fixed_never_decays(scheme):
  steps = [0, 50, 99, 100, 10 ** 6]
  np.testing.assert_array_equal(
      rates(steps, learning_rate=0.25, total_steps=100, decay_scheme=scheme,
            learning_rate_decay_type='fixed'), [0.25] * 5)


def test_warmup_rises_from_a_hundredth():
  np.testing.assert_allclose(
      rates([0, 5, 9, 10, 11], learning_rate=0.5, total_steps=100, warmup_steps=10,
            learning_rate_decay_type='fixed'),
      [0.005, 0.05, 0.5 * 0.01 ** 0.1, 0.5, 0.5], rtol=1e-5)


def test_polynomial_starts_to_fall_after_warmup():
  np.testing.assert_allclose(
      rates([5, 10, 60, 110], learning_rate=1.0, total_steps=110, warmup_steps=10,
            learning_rate_decay_type='polynomial'), [0.1, 1.0, 0.5, 0.0], rtol=1e-5)


@pytest.mark.parametrize('decay_type', TYPES)
@pytest.mark.parametrize('scheme', [None, 'luong234', 'luong5', 'luong10'])
def test_warmup_is_a_factor_of_every_decay(decay_type, scheme):
  steps = np.arange(40)
  kwargs = {'learning_rate': 1.0, 'total_steps': 40, 'decay_steps': 3, 'decay_scheme': scheme,
            'learning_rate_decay_type': decay_type, 'end_learning_rate': 0.001}
  warm, plain = rates(steps, warmup_steps=8, **kwargs), rates(steps, **kwargs)
  if scheme is None and decay_type in ('polynomial', 'cosine'):
    # These begin at the end of warm-up.
    left = np.clip((40 - steps) / 32, 0, 1)
    left = left if decay_type == 'polynomial' else (1 - np.cos(np.pi * left)) / 2
    plain = 0.001 + 0.999 * left
  factor = 0.01 ** (np.maximum(0, 8 - steps) / 8)
  np.testing.assert_allclose(warm, plain * factor, rtol=1e-5)


@pytest.mark.parametrize('decay_type', TYPES)
@pytest.mark.parametrize('scheme', [None, 'luong5'])
def test_the_floor_holds_past_the_last_step(decay_type, scheme):
  expected = 1.0 if decay_type == 'fixed' else np.float32(0.125)
  assert rates([10 ** 6], learning_rate=1.0, end_learning_rate=0.125, total_steps=100,
               learning_rate_decay_type=decay_type, decay_scheme=scheme) == [expected]


@pytest.mark.parametrize('decay_type', TYPES)
def test_a_rate_below_the_floor_stays(decay_type):
  found = rates([0, 7, 50, 100], learning_rate=0.25, end_learning_rate=0.5, total_steps=100,
                learning_rate_decay_type=decay_type)
  np.testing.assert_array_equal(found, [0.25] * 4)


def test_warmup_may_pass_below_the_floor():
  np.testing.assert_allclose(
      rates([0], learning_rate=0.01, end_learning_rate=0.001, total_steps=100, warmup_steps=10),
      [0.0001], rtol=1e-5)


@pytest.mark.parametrize(('total_steps', 'warmup_steps'), [(1, 0), (1, 5), (3, 3), (5, 9)])
def test_finite_at_every_step(total_steps, warmup_steps):
  """However short the run: no division by zero, nothing above the given rate."""
  for decay_type, scheme in itertools.product(TYPES, [None, *learning_rate_utils.DECAY_SCHEMES]):
    found = rates(range(total_steps + 2), learning_rate=1.0, end_learning_rate=0.0001,
                  total_steps=total_steps, warmup_steps=warmup_steps, decay_scheme=scheme,
                  learning_rate_decay_type=decay_type)
    assert np.all((found > 0) & (found <= 1.0)), (decay_type, scheme, found)


@pytest.mark.parametrize(('name', 'factors'), [
    ('none', [1, 1, 1]), ('linear', [1, 4, 9]), ('sqrt', [1, 2, 3])])
def test_factor_for_a_number_of_ranks(name, factors):
  assert [learning_rate_utils.SCALINGS[name](ranks) for ranks in (1, 4, 9)] == factors
