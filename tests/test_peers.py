"""The peers train for real, on few small images; how fast is not for tests."""
import importlib.util
import re
import subprocess
import sys

import pytest

from images.models import model_factory
from images.utils.tf1 import tf
from tests import launch

PARAMETERS, PRODUCTS = 25_557_032, 3_480_207_360  # Of resnet_v1_50 without its logits' products.


@pytest.fixture
def peers(monkeypatch):
  monkeypatch.syspath_prepend(str(launch.ROOT / 'scripts'))
  return importlib.import_module('peers')


def test_this_projects_network():
  with tf.Graph().as_default() as graph:
    network_fn = model_factory.get_network_fn('resnet_v1_50', 1000)  # With the usual sums.
    network_fn(tf.zeros([1, 224, 224, 3]))
    sizes = [(op.outputs[0].shape[1:3].num_elements(), op.inputs[1].shape.num_elements())
             for op in graph.get_operations() if op.type == 'Conv2D']
    assert sum(v.shape.num_elements() for v in tf.trainable_variables()) == PARAMETERS
  assert sum(pixels * weights for pixels, weights in sizes if pixels > 1) == PRODUCTS


def test_the_network_of_keras_is_as_large(peers):
  model = peers.keras_resnet_50(importlib.import_module('tf_keras'), 224)
  assert sum(v.shape.num_elements() for v in model.trainable_variables) == PARAMETERS
  assert sum(layer.output_shape[1] * layer.output_shape[2] * layer.kernel.shape.num_elements()
             for layer in model.layers if layer.name.startswith('conv2d')) == PRODUCTS


def test_the_network_of_pytorch_is_as_large(peers):
  torch = pytest.importorskip('torch', reason='torch is not installed: pip install torch')
  model, products = peers.torch_resnet_50(torch.nn), []
  for module in model.modules():
    if isinstance(module, torch.nn.Conv2d):
      module.register_forward_hook(lambda conv, _, output: products.append(
          conv.weight.numel() * output.shape[2] * output.shape[3]))
  model(torch.zeros(1, 3, 224, 224))
  assert sum(p.numel() for p in model.parameters()) == PARAMETERS
  assert sum(products) == PRODUCTS


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
