"""The peers train for real, on few small images; how fast is not for tests."""
import importlib.util
import re
import subprocess
import sys

import pytest

from tests import launch


@pytest.mark.parametrize(('peer', 'package', 'half'), [
    ('keras', 'tf_keras', True), ('torch', 'torch', True),
    ('product', 'tensorflow', False)])
def test_a_peer_prints_its_speed(peer, package, half):
  if importlib.util.find_spec(package) is None:
    pytest.skip(f'{package} is not installed: pip install {package}')
  done = subprocess.run(
      [sys.executable, str(launch.ROOT / 'scripts' / 'peers.py'), f'--peer={peer}',
       f'--half={half}', '--batch_size=2', '--size=32', '--steps=1', '--intervals=2'],
      capture_output=True, text=True, timeout=240, check=False)
  assert done.returncode == 0, done.stderr
  assert re.fullmatch(r'([\d.]+ images/s\n){2,3}', done.stdout)
