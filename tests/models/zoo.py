"""Builds networks with deterministic weights, runs them, and describes their variables."""
import contextlib
import hashlib
import inspect
import json
import pathlib
import re
import types

import numpy as np

from images.models import model_factory
from images.utils import precision_utils
from images.utils.tf1 import tf
from tests.models import deterministic_weights

# Facts about every published network: what its variables are, as `describe` says, and what it
# computes from the deterministic weights: of (auxiliary) logits the first five, and norms of
# gradients.
GOLDEN = json.loads(pathlib.Path(__file__).with_name('golden.json').read_text())


@contextlib.contextmanager
def graph():
  """Enter a fresh graph that has a global step, as training scripts have."""
  with tf.Graph().as_default() as default:
    tf.set_random_seed(1)
    tf.train.get_or_create_global_step()
    yield default


def build(name, *, batch, size, num_classes, channels=3, is_training=False,
          dtype=tf.float32, weight_decay=0.0, seed=None):
  """Build a network on a placeholder, without dropout unless it has a seed.

  Returns:
    A namespace of images, labels, outputs (a dict of logits and perhaps aux_logits),
    end_points, loss, updates (of batch norm) and network_fn; the loss is the sum over the
    batch, with 0.4 times that of the auxiliary logits. Variables that the graph has already
    are reused.
  """
  network_fn = model_factory.get_network_fn(
      name, num_classes, weight_decay=weight_decay, is_training=is_training)
  parameters = inspect.signature(network_fn).parameters
  keep = {key: 1.0 for key in ('dropout_keep_prob', 'drop_path_keep_prob') if key in parameters}
  if seed is not None:
    keep = {'seed': seed}
  known_updates = set(tf.get_collection(tf.GraphKeys.UPDATE_OPS))
  images = tf.placeholder(tf.float32, [batch, size, size, channels])
  labels = tf.placeholder(tf.int32, [batch])
  with tf.variable_scope(tf.get_variable_scope(), reuse=tf.AUTO_REUSE):
    logits, end_points = precision_utils.computing_in(dtype, network_fn)(images, **keep)
  loss, outputs = _loss(labels, logits), {'logits': logits}
  if 'AuxLogits' in end_points:
    outputs['aux_logits'] = end_points['AuxLogits']
    loss += 0.4 * _loss(labels, outputs['aux_logits'])
  updates = [op for op in tf.get_collection(tf.GraphKeys.UPDATE_OPS) if op not in known_updates]
  return types.SimpleNamespace(images=images, labels=labels, outputs=outputs, loss=loss,
                               end_points=end_points, updates=updates, network_fn=network_fn)


def train(opened, net, fed, watched=()):
  """Make one step of gradient descent, with batch-norm updates.

  Args:
    opened: session.
    net: what build() returned.
    fed: what feed() returned.
    watched: names of variables.

  Returns:
    (what was seen before the step: loss, outputs, the norm of all gradients, which is
    finite only if all of them are, and norms, a dict of those of the watched variables;
    the loss after the step).
  """
  variables = tf.trainable_variables()
  gradients = tf.gradients(net.loss, variables)
  norm = tf.linalg.global_norm(gradients)
  # To first order, this step lowers the loss by a tenth.
  rate = 0.1 * net.loss / norm**2
  # The operation itself: optimizers take much longer to build.
  steps = [tf.raw_ops.ResourceApplyGradientDescent(var=v.handle, alpha=rate, delta=g)
           for v, g in zip(variables, gradients)]
  norms = {v.op.name: tf.norm(g) for v, g in zip(variables, gradients) if v.op.name in watched}
  before = opened.run({'loss': net.loss, 'outputs': net.outputs, 'norm': norm, 'norms': norms,
                       'step': tf.group(*steps, *net.updates)}, fed)
  return before, opened.run(net.loss, fed)


def _loss(labels, logits):
  return tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(
      labels=labels, logits=tf.cast(logits, tf.float32)))


@contextlib.contextmanager
def session():
  """Enter a session that does not spend time on optimizing its graph."""
  config = tf.ConfigProto()
  config.graph_options.rewrite_options.disable_meta_optimizer = True
  config.graph_options.optimizer_options.opt_level = tf.OptimizerOptions.L0
  with tf.Session(config=config) as opened:
    yield opened


def load(opened, values=None, seed=0):
  """Give every variable its deterministic value.

  Args:
    opened: session.
    values: dict of an earlier call, which saves drawing the values again.
    seed: integer.

  Returns:
    dict from the names of the variables to their values.
  """
  variables = [v for v in tf.global_variables() if v.dtype.base_dtype == tf.float32]
  values = values or {
      v.op.name: deterministic_weights.value(v.op.name, v.shape.as_list(), seed)
      for v in variables}
  opened.run([v.initializer for v in tf.global_variables()],
             {v.initial_value: values[v.op.name] for v in variables})
  return values


def well_conditioned(values):
  """Return values for variables under which rounding errors do not grow with the depth.

  Batch norm and rectifiers multiply the gradient by about 1.2 a layer where half of the
  activations are cut off, so that a deep net's gradients in bfloat16 are noise at the
  deterministic values. Raised by two standard deviations, nearly all activations pass.
  """
  return {name: value + 2.0 if name.endswith('/beta') else value
          for name, value in values.items()}


def feed(net, num_classes, seed=0):
  """Return the feed of deterministic images and labels."""
  batch, size, _, channels = net.images.shape.as_list()
  return {net.images: deterministic_weights.images(batch, size, channels, seed),
          net.labels: deterministic_weights.labels(batch, num_classes, seed)}


def describe(end_points):
  """Return the digests that identify the default graph's variables and end points.

  'structure' is about sorted lines 'name shape trainable regularized', 'order' about
  the names in the order of their creation, 'initializers' about lines 'name kind
  numbers', 'end_points' about the keys.
  """
  variables = [v for v in tf.global_variables() if v.dtype.base_dtype == tf.float32]
  trainable = {v.op.name for v in tf.trainable_variables()}
  regularized = {_ancestors(loss.op, 'VarHandleOp')[0].name for loss in
                 tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)}
  names = [v.op.name for v in variables]
  structure = sorted(f'{v.op.name} {v.shape.as_list()} {v.op.name in trainable} '
                     f'{v.op.name in regularized}' for v in variables)
  return {
      'variables': len(names),
      'parameters': sum(v.shape.num_elements() for v in tf.trainable_variables()),
      'structure': _digest(structure),
      'order': _digest(names),
      'initializers': _digest(f'{v.op.name} {_initializer(v)}' for v in variables),
      'end_points': _digest(end_points),
  }


def _initializer(variable):
  """Return what a variable starts as, such as 'TruncatedNormal 0 0.05'."""
  tensor = variable.initial_value
  constants = {op.name.rsplit('/', 1)[-1]: tf.get_static_value(op.outputs[0])
               for op in _ancestors(tensor.op, 'Const')}
  for kind, keys in (('TruncatedNormal', ('mean', 'stddev')), ('RandomUniform', ('min', 'max'))):
    if _ancestors(tensor.op, kind):
      return ' '.join([kind] + [f'{constants[key]:.3g}' for key in keys])
  fill = _ancestors(tensor.op, 'Fill')
  constant = tf.get_static_value(fill[0].inputs[1] if fill else tensor)
  return f'Constant {np.unique(constant).item():.3g}'


def _ancestors(operation, kind):
  """Return the operations of a kind that an operation depends on."""
  seen, waiting = set(), [operation]
  while waiting:
    current = waiting.pop()
    if current not in seen:
      seen.add(current)
      waiting.extend(tensor.op for tensor in current.inputs)
  return [op for op in seen if op.type == kind]


def _digest(lines):
  return hashlib.sha256('\n'.join(lines).encode()).hexdigest()[:16]


def check_precision(loss, dtype):
  """Assert that the default graph computes in `dtype` and remembers in float32.

  Args:
    loss: scalar tensor, what all trainable variables are trained for.
    dtype: tf.float16 or tf.bfloat16.
  """
  variables = tf.trainable_variables()
  gradients = tf.gradients(loss, variables)
  assert {v.dtype.base_dtype for v in tf.model_variables()} == {tf.float32}
  assert [v.op.name for v, g in zip(variables, gradients)
          if g is None or g.dtype != tf.float32] == []
  operations = tf.get_default_graph().get_operations()
  assert [op.name for op in operations if re.search('Conv|MatMul|Pool|FusedBatchNorm', op.type)
          and op.get_attr('T') != dtype] == []
  norms = [op for op in operations if op.type == 'FusedBatchNormV3']
  assert len(norms) == sum(v.op.name.endswith('/beta') for v in variables)
  assert {tensor.dtype for op in norms for tensor in op.inputs[1:]} <= {tf.float32}
  assert [op.name for op in operations
          if tf.float64 in {tensor.dtype for tensor in [*op.inputs, *op.outputs]}] == []


def check_random_numbers():
  """Assert that all random numbers of the default graph but initial values come from a seed.

  Returns:
    Whether there are any.
  """
  operations = [op for op in tf.get_default_graph().get_operations()
                if re.search('Random|TruncatedNormal', op.type) and '/Initializer/' not in op.name]
  assert [op.name for op in operations if not op.type.startswith('Stateless')] == []
  return bool(operations)


def check_against(reference_fn, name, *, size, num_classes=10, batch=2, is_training=False, seed=0):
  """Assert that a network and another implementation of it are one function.

  Args:
    reference_fn: function images -> (logits, end_points), in scope like the network.
    name: string, the network.
    size: integer, height and width of the images in pixels.
    num_classes: integer.
    batch: integer.
    is_training: whether batch norm uses the statistics of the batch.
    seed: integer, of the weights and the images.
  """
  fed = deterministic_weights.images(batch, size, 3, seed)
  with graph(), session() as opened:
    images = tf.placeholder(tf.float32, [batch, size, size, 3])
    logits, end_points = reference_fn(images)
    values = load(opened, seed=seed)
    expected_variables = names_and_shapes()
    logits, end_points = opened.run([logits, end_points], {images: fed})
  with graph(), session() as opened:
    net = build(name, batch=batch, size=size, num_classes=num_classes, is_training=is_training)
    assert names_and_shapes() == expected_variables
    load(opened, values)
    outputs = opened.run([net.outputs['logits'], net.end_points], {net.images: fed})
  for key, expected in {'the logits': logits, **end_points}.items():
    got = outputs[0] if key == 'the logits' else outputs[1][key]
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4 * np.abs(expected).max(),
                               err_msg=key)


def check_shapes_against(reference_fn, name, *, size, num_classes=10):
  """Assert of variables and end points what check_against() does, of their shapes only."""
  with graph():
    _, end_points = reference_fn(tf.zeros([2, size, size, 3]))
    expected = names_and_shapes(), {key: net.shape for key, net in end_points.items()}
  with graph():
    end_points = build(name, batch=2, size=size, num_classes=num_classes).end_points
    shapes = {key: net.shape for key, net in end_points.items() if key in expected[1]}
    assert (names_and_shapes(), shapes) == expected


def names_and_shapes():
  """Return the [(name, shape)] of the default graph's variables."""
  return [(v.op.name, v.shape.as_list()) for v in tf.global_variables()]
