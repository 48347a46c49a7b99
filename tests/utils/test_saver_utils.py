"""Checkpoints hold finite numbers, whatever an update makes of them."""
import numpy as np
import pytest

from images.utils import saver_utils
from images.utils.error_utils import TrainingError
from images.utils.tf1 import tf


def train(output_dir, values, *, save_steps=1, names=('w',), start=None):
  """Make a step for each of `values`, which becomes a number of the variables of these names.

  Args:
    start: dict from names to what variables begin as that the steps leave alone; the others
      begin as zeros.

  Returns:
    The graph.
  """
  start = {**dict.fromkeys(names, [0.0, 0.0]), **(start or {})}
  with tf.Graph().as_default() as graph:
    step = tf.train.get_or_create_global_step()
    variables = {name: tf.get_variable(name, initializer=tf.constant(first), use_resource=True)
                 for name, first in start.items()}
    value = tf.gather(tf.constant(values), step)
    with tf.control_dependencies([variables[name].assign([1.0, value]) for name in names]):
      train_op = step.assign_add(1)
    saver = tf.train.Saver(max_to_keep=1)
    hook = saver_utils.CheckpointSaverHook(str(output_dir), save_steps=save_steps, saver=saver)
    with tf.train.MonitoredSession(hooks=[hook]) as session:
      for _ in values:
        session.run(train_op)
  return graph


def saved(output_dir):
  """Return the second number of w in the checkpoints, a dict by their names."""
  return {path.stem: tf.train.load_checkpoint(str(path.with_suffix(''))).get_tensor('w')[1]
          for path in output_dir.glob('*.index')}


def test_the_last_step_is_saved_and_those_at_intervals(tmp_path):
  train(tmp_path, [1.0, 2.0, 3.0], save_steps=2)
  assert saved(tmp_path) == {'model.ckpt-3': 3.0}


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('save_steps', [1, 2, 100])
def test_an_update_that_is_not_finite_ends_the_run_and_leaves_the_last_checkpoint(
    tmp_path, value, save_steps):
  """Whether the hook saves after each step, at the interval, or at the end."""
  with pytest.raises(TrainingError) as error:
    train(tmp_path, [1.0, value], save_steps=save_steps)
  step = 1 if save_steps == 1 else 0
  assert saved(tmp_path) == {f'model.ckpt-{step}': float(step)}
  assert str(error.value) == (
      f'step 2: the update made w not finite, and was not saved; the newest checkpoint, '
      f'{tmp_path}/model.ckpt-{step}, is complete. Lower --learning_rate, or set '
      '--max_gradient_norm.')


def test_what_is_not_finite_from_the_start_is_told_and_saved(tmp_path, caplog):
  """As a best loss that begins at infinity; what an update ruins is told apart from it."""
  names, start = ('w', 'b'), {'best': [np.inf, 0.0]}
  train(tmp_path, [1.0], names=names, start=start)
  assert saved(tmp_path) == {'model.ckpt-1': 1.0}
  assert [record.getMessage() for record in caplog.records if 'finite' in record.getMessage()] == [
      'the run begins with values that are not finite in best']
  with pytest.raises(
      TrainingError, match='step 1: the update made b and 1 more variable not finite,'):
    train(tmp_path / 'ruined', [np.nan], names=names, start=start)


def test_numbers_of_other_kinds(tmp_path):
  train(tmp_path, [1.0], start={
      'count': 2**31 - 1, 'word': 'inf', 'half': np.float16(65504), 'none': np.zeros([0])})
  assert saved(tmp_path) == {'model.ckpt-1': 1.0}


def test_one_operation_looks_at_all_variables(tmp_path):
  """Of thousands, each copy and each operation would be felt."""
  graph = train(tmp_path, [1.0], names=('w', 'a', 'b', 'c'))
  [operation] = [op for op in graph.get_operations() if op.type == 'PyFunc']
  assert {tensor.op.type for tensor in operation.inputs} == {'ReadVariableOp'}
  assert [tensor.op.inputs[0].op.name for tensor in operation.inputs] == ['a', 'b', 'c', 'w']
  readers = [{op.type for op in tensor.consumers()} for tensor in operation.inputs]
  assert readers == [{'PyFunc', 'SaveV2'}] * 4


def test_how_many_variables_an_update_has_ruined(tmp_path):
  with pytest.raises(
      TrainingError, match='step 1: the update made b and 2 more variables not finite,'):
    train(tmp_path, [np.nan], names=('w', 'b', 'slot'))
