import importlib.util
import subprocess
import sys

import pytest

from tests import launch

SCRIPT = launch.ROOT / 'scripts' / 'predict_scaling.py'


@pytest.fixture
def efficiency():
  spec = importlib.util.spec_from_file_location('predict_scaling', SCRIPT)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.efficiency


@pytest.mark.parametrize(('ranks', 'expected'), [
    # 100 MB at 1 GB/s: half of them twice, 0.1 s, all of it behind the 0.2 s of backward.
    (2, (0.3 / 0.4, 1.0)),
    # 2 x 9/10 x 0.1 s = 0.18 s.
    (10, (0.3 / 0.48, 1.0))])
def test_ring(efficiency, ranks, expected):
  assert efficiency(ranks, step_secs=0.3, gradient_bytes=1e8, bandwidth=1e9,
                    latency=0) == pytest.approx(expected)


def test_what_the_backward_pass_does_not_hide(efficiency):
  """0.36 s and 18 messages of 1 ms; 0.1 s of backward."""
  low, high = efficiency(10, step_secs=0.15, gradient_bytes=2e8, bandwidth=1e9, latency=1e-3)
  assert low == pytest.approx(0.15 / (0.15 + 0.378))
  assert high == pytest.approx(0.15 / (0.15 + 0.278))


def test_one_rank_waits_for_nobody(efficiency):
  assert efficiency(1, step_secs=0.3, gradient_bytes=1e9, bandwidth=1e6, latency=1) == (1, 1)


def test_command_line():
  done = subprocess.run(
      [sys.executable, str(SCRIPT), '--images_per_second=64', '--parameters=25e6',
       '--gbit_per_second=0.8', '--latency_microseconds=0', '--ranks=2'],
      capture_output=True, text=True, check=True)
  assert done.stdout == ('step 1000 ms, gradients 100 MB, 0.8 Gbit/s\n'
                         '    2 ranks: 50 to 75 %, predicted\n')


@pytest.mark.parametrize('flag', ['--ranks=0', '--ranks=8,x', '--bytes_per_parameter=-4'])
def test_a_flag_that_will_not_do(flag):
  done = subprocess.run(
      [sys.executable, str(SCRIPT), '--images_per_second=64', '--parameters=25e6', flag],
      capture_output=True, text=True, check=False)
  assert done.returncode == 1
  assert f'flag {flag.partition("=")[0]}=' in done.stderr
