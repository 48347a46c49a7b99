"""Two real processes that Horovod joins; tests/utils/ranks.py is what they run."""
import json
import os

import numpy as np
import pytest

from tests import launch
from tests.datasets import make_data
from tests.utils import ranks

pytestmark = [pytest.mark.slow, launch.needs_horovod]


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
  """What two ranks with half of the batch each have seen, in their order."""
  folder = tmp_path_factory.mktemp('data')
  make_data.write_dataset(folder, 'cifar10', ranks.FILES, classes=[*'0123456789abcdef'], size=8)
  output = launch.run_module(2, 'tests.utils.ranks', folder)
  lines = [line[line.index('{'):] for line in output.splitlines() if '{"collectives"' in line]
  return sorted(map(json.loads, lines), key=lambda seen: seen['collectives']['rank'])


@pytest.fixture(scope='module')
def single():
  """What this process, with the whole batch, sees."""
  return {'plain': ranks.train(1.0), 'scaled': ranks.train(1024.0)}


def of_steps(trace, key):
  return np.array([step[key] for step in trace])


def test_rank_and_size(pair):
  seen = [[rank['collectives'][key] for key in ('rank', 'size', 'local_rank', 'local_size',
                                                'chief')] for rank in pair]
  assert seen == [[0, 2, 0, 2, True], [1, 2, 1, 2, False]]
  assert pair[0]['collectives']['transport'].startswith('Horovod 0.')


def test_objects_of_another_type_on_each_rank(pair):
  for rank in pair:
    assert rank['collectives']['broadcast'] == ['a tuple', None]
    assert rank['collectives']['broadcast_none'] == 'chief'
    assert rank['collectives']['gathered'] == [{'only': 'here'}, [1, 'x' * 1000]]


def test_ranks_on_a_host_share_its_cores(pair):
  cores = len(os.sched_getaffinity(0))
  assert [rank['collectives']['threads'] for rank in pair] == [max(1, cores // 2)] * 2


@pytest.mark.parametrize('scale', ['plain', 'scaled'])
def test_two_ranks_with_half_of_the_batch_make_the_steps_of_one(pair, single, scale):
  """Up to the rounding of sums in another order, and exactly alike between the two."""
  np.testing.assert_allclose(of_steps(pair[0][scale], 'w'), of_steps(single[scale], 'w'), rtol=1e-5)
  np.testing.assert_allclose(of_steps(pair[0][scale], 'mean_loss'),
                             of_steps(single[scale], 'loss'), rtol=1e-5)
  assert [step['w'] for step in pair[0][scale]] == [step['w'] for step in pair[1][scale]]
  assert of_steps(pair[0][scale], 'loss')[0] != of_steps(pair[1][scale], 'loss')[0]
  assert list(of_steps(pair[0][scale], 'global_step')) == [1, 2, 3, 4]


def test_the_steps_of_one_rank_are_those_of_numpy(single):
  """Gradient descent with weight decay, clipped to norm 1."""
  w = np.array([[0.0], [0.5], [1.0]])
  for x, y, step in zip(ranks.BATCHES, ranks.TARGETS, single['plain']):
    gradient = 2 * x.T @ (x @ w - y) / 8 + 0.02 * w
    w = w - 0.3 * gradient / max(1.0, np.linalg.norm(gradient))
    np.testing.assert_allclose(step['w'], w.ravel(), rtol=1e-4)


def test_an_infinite_gradient_on_one_rank_makes_all_skip_the_step(pair):
  for rank in pair:
    trace = rank['poisoned']
    assert [step['finite'] for step in trace] == [True, False, True, True]
    assert [step['global_step'] for step in trace] == [1, 1, 2, 3]
    assert [step['scale'] for step in trace] == [2.0 ** 15] + [2.0 ** 14] * 3
    for name in ('w', 'slot', 'average'):
      assert trace[1][name] == trace[0][name] != trace[2][name]
  assert [step['w'] for step in pair[0]['poisoned']] == [step['w'] for step in pair[1]['poisoned']]
  # It was the batch of the second rank alone.
  assert np.isfinite(pair[0]['poisoned'][1]['loss'])
  assert not np.isfinite(pair[1]['poisoned'][1]['loss'])


def test_moving_averages_are_means_over_the_ranks(pair):
  """Half of the way from 0 to the mean of all eight images, on both ranks."""
  for rank in pair:
    np.testing.assert_allclose(rank['plain'][0]['average'], ranks.BATCHES[0].mean(0) / 2,
                               rtol=1e-5)
  assert [step['average'] for step in pair[0]['plain']] == [
      step['average'] for step in pair[1]['plain']]


def test_compressed_gradients_are_rounded_to_float16(pair, single):
  compressed, exact = of_steps(pair[0]['compressed'], 'w'), of_steps(single['plain'], 'w')
  np.testing.assert_allclose(compressed, exact, rtol=0, atol=2e-3)
  assert np.abs(compressed - exact).max() > 1e-6


def test_micro_batches_make_one_step(pair):
  """Two runs each with half of the images: the step is that of the 16 together."""
  trace = pair[0]['accumulated']
  assert [step['global_step'] for step in trace] == [0, 1, 1, 2]
  assert trace[0]['w'] == [0.0, 0.5, 1.0]
  x, y = np.concatenate(ranks.BATCHES[:2]), np.concatenate(ranks.TARGETS[:2])
  w = np.array([[0.0], [0.5], [1.0]])
  gradient = 2 * x.T @ (x @ w - y) / 16 + 0.02 * w
  w = w - 0.3 * gradient / max(1.0, np.linalg.norm(gradient))
  np.testing.assert_allclose(trace[1]['w'], w.ravel(), rtol=1e-4)
  np.testing.assert_allclose(trace[1]['average'], x.mean(0) / 2, rtol=1e-4)


def test_an_overflow_in_one_micro_batch_discards_its_step_alone(pair):
  for rank in pair:
    trace = rank['accumulated, poisoned']
    assert [step['global_step'] for step in trace] == [0, 0, 0, 1]
    assert [step['scale'] for step in trace] == [2.0 ** 15] + [2.0 ** 14] * 3
    assert trace[1]['w'] == [0.0, 0.5, 1.0] != trace[3]['w']
    assert trace[1]['average'] == [0.0, 0.0, 0.0]
    np.testing.assert_allclose(trace[3]['average'], ranks.BATCHES[2:].mean((0, 1)) / 2, rtol=1e-4)


def test_each_record_of_uneven_files_is_taken_once_in_as_many_steps_of_each_rank(pair):
  first, second = pair[0]['epoch'], pair[1]['epoch']
  assert len(first) == len(second) == 8
  assert sorted(first + second) == [*range(16)]


def test_what_ranks_disagree_on_is_named_on_all(pair):
  for rank in pair:
    assert rank['disagreement'] == (
        'the ranks must have the same flags, but differ: '
        '--batch_size: 32 on rank 0, 16 on rank 1; --extra: "x" on rank 0, missing on rank 1')
