"""Half precision computes; float32 remembers."""
import numpy as np
import pytest

from images.models import model_factory
from images.utils import device_utils, precision_utils
from images.utils.tf1 import slim, tf

HALVES = [tf.float16, tf.bfloat16]
# Operations that hold most of a network's arithmetic, and their gradients.
ARITHMETIC = {'Conv2D', 'DepthwiseConv2dNative', 'MatMul', 'MaxPool', 'AvgPool'}

# Of an Intel Sapphire Rapids or a later one.
WITHOUT_AMX = {'GenuineIntel', 'avx512_bf16', 'avx512_fp16'}


@pytest.mark.parametrize(('use_fp16', 'half_dtype', 'has_gpu', 'cpu_flags', 'expected'), [
    (False, 'auto', True, {'avx512_bf16'}, tf.float32),
    (False, 'float16', True, set(), tf.float32),
    (True, 'auto', True, {'avx512_bf16'}, tf.float16),
    (True, 'auto', False, {'sse', 'avx512_bf16'}, tf.bfloat16),
    (True, 'auto', False, {'amx_bf16'}, tf.bfloat16),
    (True, 'auto', False, {'fp', 'bf16'}, tf.bfloat16),
    (True, 'auto', False, {'GenuineIntel', 'avx512_bf16'}, tf.bfloat16),
    (True, 'auto', False, {'AuthenticAMD', 'avx512_bf16', 'avx512_fp16'}, tf.bfloat16),
    (True, 'auto', False, {*WITHOUT_AMX, 'amx_bf16'}, tf.bfloat16),
    (True, 'auto', False, WITHOUT_AMX, tf.float32),
    (True, 'bfloat16', False, WITHOUT_AMX, tf.bfloat16),
    (True, 'auto', False, {'avx2', 'f16c', 'fma'}, tf.float32),
    (True, 'float16', False, set(), tf.float16),
    (True, 'bfloat16', True, set(), tf.bfloat16),
])
def test_the_dtype(monkeypatch, use_fp16, half_dtype, has_gpu, cpu_flags, expected):
  monkeypatch.setattr(device_utils, 'accelerator', lambda: '/gpu:0' if has_gpu else None)
  monkeypatch.setattr(device_utils, 'cpu_flags', lambda: cpu_flags)
  assert precision_utils.compute_dtype(use_fp16, half_dtype) == expected


@pytest.mark.parametrize(('cpu_flags', 'reason'), [
    ({'avx2'}, 'this CPU has no half-precision instructions; computing in float32'),
    (WITHOUT_AMX, 'this CPU multiplies bfloat16 at half the speed of float32')])
def test_float32_instead_of_half_precision_comes_with_a_warning(monkeypatch, cpu_flags, reason,
                                                                caplog):
  monkeypatch.setattr(device_utils, 'cpu_flags', lambda: cpu_flags)
  precision_utils.compute_dtype(True)
  assert [record.levelname for record in caplog.records] == ['WARNING']
  assert reason in caplog.text
  assert '--half_dtype=bfloat16' in caplog.text


def build(dtype, *, model='cifarnet', weight_decay=0.004):
  """Build a network for training in `dtype`; return its loss without regularization."""
  network_fn = model_factory.get_network_fn(model, num_classes=10, weight_decay=weight_decay,
                                            is_training=True)
  images = tf.random.stateless_uniform([4, 32, 32, 3], [1, 2])
  logits, _ = precision_utils.computing_in(dtype, network_fn)(images)
  assert logits.dtype == dtype
  return tf.losses.sparse_softmax_cross_entropy(
      labels=tf.range(4), logits=tf.cast(logits, tf.float32))


@pytest.mark.parametrize('dtype', HALVES)
@pytest.mark.parametrize('model', ['cifarnet', 'resnet_v1_50'])
def test_variables_are_float32_and_arithmetic_is_not(model, dtype):
  with tf.Graph().as_default() as graph:
    tf.gradients(build(dtype, model=model), tf.trainable_variables())
    assert {v.dtype.base_dtype for v in tf.global_variables()} == {tf.float32}
    kinds = {op.type for op in graph.get_operations()}
    assert {'Conv2D', 'Conv2DBackpropFilter', 'Conv2DBackpropInput'} <= kinds
    found = {(op.name, op.outputs[0].dtype.name) for op in graph.get_operations()
             if op.type.removesuffix('BackpropFilter').removesuffix('BackpropInput') in ARITHMETIC
             and op.outputs[0].dtype != dtype}
    assert found == set()


def test_variables_have_the_names_and_shapes_of_float32():
  tables = []
  for compute in (tf.float32, tf.float16):
    with tf.Graph().as_default():
      build(compute, model='resnet_v1_50')
      tables.append([(v.name, v.shape.as_list()) for v in tf.global_variables()])
  assert tables[0] == tables[1]
  assert len(tables[0]) == 267


def test_float32_is_the_network_itself():
  with tf.Graph().as_default() as graph:
    build(tf.float32)
    assert [op.name for op in graph.get_operations() if op.type == 'Cast'
            and op.inputs[0].dtype.is_floating and 'cross_entropy' not in op.name] == []


def test_integer_variables_are_left_alone():
  def network_fn(images):
    return images, tf.get_variable('count', [], tf.int64, tf.zeros_initializer())
  with tf.Graph().as_default():
    _, count = precision_utils.computing_in(tf.bfloat16, network_fn)(tf.ones([1]))
    assert count.dtype.base_dtype == tf.int64


@pytest.mark.parametrize('dtype', HALVES)
def test_the_regularization_losses_are_those_of_float32(dtype):
  with tf.Graph().as_default(), tf.Session() as session:
    build(dtype)
    losses = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
    assert {loss.dtype for loss in losses} == {tf.float32}
    session.run(tf.global_variables_initializer())
    weights = ['CifarNet/fc3/weights/Read/ReadVariableOp:0',
               'CifarNet/fc4/weights/Read/ReadVariableOp:0']
    found, values = session.run([losses, weights])
  expected = [0.004 * np.sum(np.square(value.astype(np.float64))) / 2 for value in values]
  np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize('dtype', HALVES)
def test_gradients_reach_the_float32_variables(dtype):
  with tf.Graph().as_default(), tf.Session() as session:
    gradients = tf.gradients(build(dtype), tf.trainable_variables())
    assert {gradient.dtype for gradient in gradients} == {tf.float32}
    session.run(tf.global_variables_initializer())
    assert all(np.all(np.isfinite(g)) and np.any(g) for g in session.run(gradients))


def test_a_checkpoint_is_float32_and_serves_either(tmp_path):
  with tf.Graph().as_default(), tf.Session() as session:
    build(tf.bfloat16)
    session.run(tf.global_variables_initializer())
    path = tf.train.Saver().save(session, str(tmp_path / 'model.ckpt'))
    saved = session.run(tf.global_variables())
  assert set(tf.train.load_checkpoint(path).get_variable_to_dtype_map().values()) == {tf.float32}
  with tf.Graph().as_default(), tf.Session() as session:
    build(tf.float32)
    tf.train.Saver().restore(session, path)
    for value, expected in zip(session.run(tf.global_variables()), saved):
      np.testing.assert_array_equal(value, expected)


def test_losses_of_two_dtypes_are_summed_in_float32():
  with tf.Graph().as_default(), tf.Session() as session:
    assert session.run(precision_utils.regularization_loss()) == 0
    for dtype in (tf.float32, tf.bfloat16):
      tf.losses.add_loss(tf.constant(0.5, dtype), tf.GraphKeys.REGULARIZATION_LOSSES)
    loss = precision_utils.regularization_loss()
    assert (loss.dtype, session.run(loss)) == (tf.float32, 1)


def test_batch_norm_averages_are_float32():
  def network_fn(images):
    return slim.batch_norm(images, is_training=True, scale=True, decay=0.75), {}
  with tf.Graph().as_default(), tf.Session() as session:
    images = tf.constant(np.arange(32).reshape(2, 2, 2, 4), tf.float32)
    output, _ = precision_utils.computing_in(tf.bfloat16, network_fn)(images)
    assert output.dtype == tf.bfloat16
    session.run(tf.global_variables_initializer())
    session.run(tf.get_collection(tf.GraphKeys.UPDATE_OPS))
    [mean] = session.run(tf.global_variables('BatchNorm/moving_mean'))
  # A quarter of the means of 0, 4, .. 28 and of the same plus 1, 2 and 3.
  np.testing.assert_allclose(mean, [3.5, 3.75, 4.0, 4.25], rtol=1e-6)
