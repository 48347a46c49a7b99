"""Every network is the published one, and it trains in single and in half precision.

The golden numbers hold the published networks' variables, and the logits, gradient
norms and batch-norm averages that they compute from the deterministic weights.
"""
import numpy as np
import pytest

from images.models import model_factory
from images.preprocessing import preprocessing_factory
from images.utils.tf1 import tf
from tests.models import zoo

# More than about 20 seconds for a test on two cores.
_SLOW = {'resnet_v1_200', 'resnet_v2_200', 'resnet_v1_152', 'resnet_v2_152'}

_NETS = [pytest.param(name, marks=[pytest.mark.slow] if name in _SLOW else [])
         for name in model_factory.models_map]


@pytest.fixture(scope='module')
def values(request):
  """Return a dict that keeps the deterministic weights of one network at a time."""
  del request
  return {}


@pytest.fixture(params=_NETS, scope='module')
def name(request, values):
  yield request.param
  values.clear()


def test_no_network_lacks_an_entry_in_a_map():
  names = set(model_factory.models_map)
  assert set(model_factory.arg_scopes_map) == names
  assert names <= set(preprocessing_factory.preprocessing_fn_map)
  assert set(zoo.GOLDEN) == names


def test_evaluation_gives_the_published_logits(name, values):
  golden = zoo.GOLDEN[name]
  with zoo.graph(), zoo.session() as session:
    net = _build(name, is_training=False)
    zoo.load(session, values)
    logits = session.run(net.logits, zoo.feed(net, golden['num_classes']))
  assert net.network_fn.default_image_size == golden['default_image_size']
  np.testing.assert_allclose(logits[0, :5], golden['logits'], rtol=0,
                             atol=1e-4 * golden['largest_logit'])


def test_training_starts_from_the_published_graph_and_lowers_the_loss(name, values):
  golden = zoo.GOLDEN[name]
  with zoo.graph(), zoo.session() as session:
    net = _build(name, is_training=True, weight_decay=4e-5)
    before, after = _train(session, net, values, golden)
    description = zoo.describe(net.end_points)
    averages = {key: session.run(f'{key}:0')[:3] for key in golden.get('averages', ())}
  assert description == {key: golden[key] for key in description}
  assert after < before['loss']
  np.testing.assert_allclose(before['logits'][0, :5], golden['training_logits'], rtol=0,
                             atol=1e-3 * golden['largest_training_logit'])
  np.testing.assert_allclose(before['norm'], golden['gradient_norm'], rtol=1e-2)
  for key, expected in golden.get('averages', {}).items():
    np.testing.assert_allclose(averages[key], expected, rtol=1e-4, err_msg=key)


def test_training_in_half_precision_lowers_the_loss(name, values):
  golden = zoo.GOLDEN[name]
  with zoo.graph(), zoo.session() as session:
    net = _build(name, is_training=True, dtype=tf.bfloat16)
    assert net.logits.dtype == tf.bfloat16
    assert {v.dtype.base_dtype for v in tf.trainable_variables()} == {tf.float32}
    before, after = _train(session, net, values, golden)
  assert after < before['loss']


def _build(name, **arguments):
  golden = zoo.GOLDEN[name]
  shape = {key: golden[key] for key in ('batch', 'size', 'channels', 'num_classes')}
  return zoo.build(name, **shape, **arguments)


def _train(session, net, values, golden):
  """Make one step; return what was seen before it, and the loss after it."""
  variables = tf.trainable_variables()
  gradients = tf.gradients(net.loss, variables)
  assert None not in gradients
  norm = tf.linalg.global_norm(gradients)
  # To first order, this step lowers the loss by a tenth.
  rate = 0.1 * net.loss / norm**2
  step = tf.group(*(v.assign_sub(rate * g) for v, g in zip(variables, gradients)),
                  *tf.get_collection(tf.GraphKeys.UPDATE_OPS))
  finite = [tf.reduce_all(tf.is_finite(g)) for g in gradients]
  zoo.load(session, values)
  feed = zoo.feed(net, golden['num_classes'])
  before = session.run(
      {'loss': net.loss, 'logits': net.logits, 'norm': norm, 'finite': finite, 'step': step}, feed)
  assert all(before['finite'])
  return before, session.run(net.loss, feed)
