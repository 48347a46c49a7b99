"""Two real processes that Horovod joins; tests/utils/ranks.py is what they run."""
import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

from images.utils import cluster_utils
from tests.utils import ranks

ROOT = pathlib.Path(cluster_utils.__file__).parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec('horovod') is None,
                       reason=f'Horovod is not installed: {cluster_utils.HOROVOD_INSTALL}')]


@pytest.fixture(scope='module')
def pair():
  """What two ranks with half of the batch each have seen, in their order."""
  horovodrun = pathlib.Path(sys.executable).with_name('horovodrun')
  process = subprocess.Popen(
      [sys.executable, str(horovodrun), '-np', '2', sys.executable, '-m', 'tests.utils.ranks'],
      cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
      env={**os.environ, 'PATH': f'{horovodrun.parent}{os.pathsep}{os.environ["PATH"]}'})
  try:
    output, errors = process.communicate(timeout=180)
  except subprocess.TimeoutExpired:
    os.killpg(process.pid, signal.SIGKILL)
    pytest.fail(f'the ranks hang:\n{"".join(process.communicate())[-3000:]}')
  assert process.returncode == 0, errors[-3000:]
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


def test_ranks_on_a_host_share_its_cores_and_devices(pair):
  cores = len(os.sched_getaffinity(0))
  assert [rank['collectives']['threads'] for rank in pair] == [max(1, cores // 2)] * 2
  assert [rank['collectives']['devices'] for rank in pair] == ['0', '1']


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
    assert trace[1]['w'] == trace[0]['w'] != trace[2]['w']
    assert trace[1]['average'] == trace[0]['average'] != trace[2]['average']
  assert [step['w'] for step in pair[0]['poisoned']] == [step['w'] for step in pair[1]['poisoned']]
  # It was the batch of the second rank alone.
  assert np.isfinite(pair[0]['poisoned'][1]['loss'])
  assert not np.isfinite(pair[1]['poisoned'][1]['loss'])
