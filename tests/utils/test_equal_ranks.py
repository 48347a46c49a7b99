"""N ranks train as one rank with N times the batch; tests/utils/equal_ranks.py is what they run."""
import numpy as np
import pytest

from tests import launch
from tests.utils import equal_ranks

pytestmark = [pytest.mark.slow, launch.needs_horovod]


def test_weights_after_20_steps_over_six_epochs(tmp_path):
  single = equal_ranks.train_all()
  for ranks in (2, 3):
    launch.run_module(ranks, 'tests.utils.equal_ranks', tmp_path)
    weights = np.load(tmp_path / f'ranks-{ranks}.npz')
    assert set(weights) == set(single)
    for name, expected in single.items():
      # Some units in the last place of float32.
      np.testing.assert_allclose(weights[name], expected, rtol=0, err_msg=f'{ranks} ranks, {name}',
                                 atol=1e-6 * np.abs(expected).max())
  check_cases({case: single[f'{case}: logits/weights'] for case in equal_ranks.CASES})


def check_cases(weights):
  """Clipping has an effect, loss scales and micro-batches have none."""
  assert np.abs(weights['clipped, static scale'] - weights['plain']).max() > 1e-3
  for case, same in (('clipped, dynamic scale', 'clipped, static scale'),
                     ('accumulated', 'plain'),
                     ('accumulated, clipped, dynamic scale', 'clipped, static scale')):
    np.testing.assert_allclose(weights[case], weights[same], rtol=0, atol=1e-6, err_msg=case)
