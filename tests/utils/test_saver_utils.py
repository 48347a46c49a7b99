"""Checkpoints hold finite numbers, whatever an update makes of them."""
import numpy as np
import pytest

from images.utils import saver_utils
from images.utils.error_utils import TrainingError
from images.utils.tf1 import tf


def train(output_dir, values, *, save_steps=1, names=('w',)):
  """Make a step for each of `values`, which becomes that of the variables of these names."""
  with tf.Graph().as_default():
    step = tf.train.get_or_create_global_step()
    variables = [tf.get_variable(name, initializer=[0.0, 0.0]) for name in names]
    value = tf.gather(tf.constant(values), step)
    with tf.control_dependencies([v.assign([1.0, value]) for v in variables]):
      train_op = step.assign_add(1)
    hook = saver_utils.CheckpointSaverHook(str(output_dir), save_steps=save_steps,
                                           saver=tf.train.Saver(max_to_keep=1))
    with tf.train.MonitoredSession(hooks=[hook]) as session:
      for _ in values:
        session.run(train_op)


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
      f'step 2: w not finite after the update, and not saved; the newest checkpoint, '
      f'{tmp_path}/model.ckpt-{step}, is whole. Lower --learning_rate, or set --max_gradient_norm.')


def test_how_many_variables_an_update_has_ruined(tmp_path):
  with pytest.raises(TrainingError, match='step 1: w and 2 more variables not finite after'):
    train(tmp_path, [np.nan], names=('w', 'b', 'slot'))
