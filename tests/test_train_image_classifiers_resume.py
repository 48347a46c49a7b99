import os
import shutil
import signal
import subprocess

import numpy as np
import pytest

from images.models import model_factory, model_utils
from images.utils import hooks_utils
from images.utils.tf1 import slim, tf
from tests import command_line, launch

# Every random distortion, a moving average, and an optimizer and a loss scale with a memory.
EXACT = {'model_name': 'tiny', 'preprocessing_name': 'cifarnet', 'optimizer': 'momentum',
         'loss_scale': 0, 'save_checkpoint_every_n_iters': 4}


@model_utils.network(default_image_size=8)
def tiny(images, num_classes, *, is_training):
  """A network with batch norm and dropout."""
  with slim.arg_scope([slim.batch_norm], is_training=is_training, decay=0.9):
    net = slim.conv2d(images, 8, 3, normalizer_fn=slim.batch_norm, scope='tiny/conv')
    net = model_utils.dropout(slim.flatten(net), is_training=is_training)
    return slim.fully_connected(net, num_classes, activation_fn=None,
                                scope='tiny/logits'), {}


class KilledError(Exception):
  """Stands for whatever ends a process in the middle of a step."""


class KillingHook(tf.train.SessionRunHook):
  """Raises KilledError in the sixth step or the one after it."""

  def before_run(self, run_context):
    return tf.train.SessionRunArgs(tf.train.get_global_step())

  def after_run(self, run_context, run_values):
    if run_values.results >= 6:
      raise KilledError


@pytest.fixture(autouse=True)
def _tables(monkeypatch):
  monkeypatch.setitem(model_factory.models_map, 'tiny', tiny)
  monkeypatch.setitem(model_factory.arg_scopes_map, 'tiny', lambda weight_decay: {})
  monkeypatch.setitem(hooks_utils.HOOKS, 'KillingHook', lambda run: KillingHook())


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  """The directory of a tiny data set."""
  return command_line.write_dataset(tmp_path_factory.mktemp('data'), train=13)


@pytest.mark.parametrize('flags', [{}, {'use_fp16': False, 'datasets_use_caching': True}])
def test_interrupted_run_ends_with_the_weights_of_an_unbroken_one(data, tmp_path, flags):
  values = {**EXACT, **flags, 'dataset_dir': data, 'stop_at_step': 11}
  command_line.main(**values, output_dir=tmp_path / 'unbroken')
  with pytest.raises(KilledError):
    command_line.main(**values, output_dir=tmp_path / 'broken',
                      hooks='CheckpointSaverHook,KillingHook')
  assert tf.train.latest_checkpoint(str(tmp_path / 'broken')).endswith('ckpt-4')
  command_line.main(**values, output_dir=tmp_path / 'broken')
  command_line.assert_same_variables(tmp_path / 'unbroken' / 'model.ckpt-11',
                                     tmp_path / 'broken' / 'model.ckpt-11')


def test_batch_size_and_steps_may_change_on_the_way(data, tmp_path):
  values = {**EXACT, 'dataset_dir': data, 'output_dir': tmp_path}
  command_line.main(**values, stop_at_step=2)
  command_line.main(**values, stop_at_step=4, batch_size=3)
  end = command_line.variables(tmp_path / 'model.ckpt-4')
  assert end['global_step'] == 4
  assert end['input_position'].tolist() == [[2 * 4 + 2 * 3]]
  assert end['images_trained'] == 2 * 4 + 2 * 3


def test_epochs_end_where_they_do_when_the_global_batch_changes(data, tmp_path, caplog):
  """Three epochs of 13 images, 39, the first 24 of them in batches of 4; and the decay goes on."""
  caplog.set_level('INFO')
  values = {**EXACT, 'dataset_dir': data, 'output_dir': tmp_path, 'num_epochs': 3}
  command_line.main(**values, stop_at_step=6)
  # The rate is halved after each epoch of 13 images, of which the first 24 end one.
  for batch_size, steps in ((2, 6 + 8), (13, 6 + 2)):
    caplog.clear()
    run = shutil.copytree(tmp_path, tmp_path / f'batch{batch_size}', ignore=lambda *_: ['batch2'])
    command_line.main(**{**values, 'output_dir': run}, batch_size=batch_size, stop_at_step=100,
                      num_epochs_per_decay=1, learning_rate_decay_factor=0.5)
    assert f'steps 6 to {steps}, ' in caplog.text
    assert 'learning rate 0.01 (0.005 at step 6)' in caplog.text
    assert command_line.variables(run / f'model.ckpt-{steps}')['images_trained'] >= 39
    command_line.main(**{**values, 'output_dir': run}, batch_size=7, stop_at_step=100)
    assert f'has reached step {steps} of {steps}, nothing is left to do' in caplog.text


@pytest.mark.parametrize('restore_moving_averages', [False, True])
def test_finetune_loads_moving_averages_on_demand(data, tmp_path, restore_moving_averages):
  pretrained, run = tmp_path / 'pretrained', tmp_path / 'run'
  command_line.main(**EXACT, dataset_dir=data, output_dir=pretrained, stop_at_step=2)
  command_line.main(**EXACT, dataset_dir=data, output_dir=run, stop_at_step=1,
                    task_type='finetune', model_dir=pretrained, ckpt_file_name='model.ckpt-2',
                    restore_moving_averages=restore_moving_averages)
  source = command_line.variables(pretrained / 'model.ckpt-2')
  start = command_line.variables(run / 'model.ckpt-0')
  np.testing.assert_array_equal(start['tiny/conv/weights'], source['tiny/conv/weights'])
  for name in ('tiny/conv/BatchNorm/moving_mean', 'tiny/conv/BatchNorm/moving_variance'):
    assert np.array_equal(start[name], source[name]) == restore_moving_averages


def test_finetune_starts_from_the_averages_of_the_weights_on_demand(data, tmp_path):
  run = tmp_path / 'run'
  shapes = {'tiny/conv/weights': [3, 3, 3, 8], 'tiny/conv/BatchNorm/beta': [8],
            'tiny/logits/weights': [8 * 8 * 8, 10], 'tiny/logits/biases': [10]}
  with tf.Graph().as_default(), tf.Session() as session:
    for name, shape in shapes.items():
      tf.get_variable(name, initializer=tf.zeros(shape))
      tf.get_variable(f'{name}/ExponentialMovingAverage', initializer=tf.fill(shape, 0.25))
    session.run(tf.global_variables_initializer())
    tf.train.Saver().save(session, str(tmp_path / 'model.ckpt'))
  command_line.main(**EXACT, dataset_dir=data, output_dir=run, stop_at_step=1,
                    task_type='finetune', model_dir=tmp_path, ckpt_file_name='model.ckpt',
                    use_ema_weights=True)
  start = command_line.variables(run / 'model.ckpt-0')
  for name, shape in shapes.items():
    np.testing.assert_array_equal(start[name], np.full(shape, 0.25), name)


def test_killed_process_goes_on_to_the_same_step(data, tmp_path):
  values = {**command_line.TINY, 'dataset_dir': data, 'output_dir': tmp_path,
            'stop_at_step': 100000, 'num_epochs': 100000, 'save_checkpoint_every_n_iters': 20}
  process = command_line.start(values)
  command_line.wait_for(tmp_path / 'model.ckpt-40.index', process)
  command_line.kill(process)
  process.stdout.close()
  assert process.returncode == -signal.SIGKILL
  newest = tf.train.latest_checkpoint(str(tmp_path))
  step = int(newest.rpartition('-')[2])
  assert step >= 20

  # With PAISoar where it is there: by default one process has it too.
  code, output = command_line.run({**values, 'stop_at_step': step + 3,
                                   'enable_paisoar': launch.HOROVOD})
  assert code == 0, output
  assert f'steps {step} to {step + 3}, resuming {newest}' in output
  assert (f'done at step {step + 3} of {step + 3}, checkpoint {tmp_path}/model.ckpt-{step + 3}'
          in output)


# Mounts a small disk that only the shell and its children see, and runs the rest there.
SMALL_DISK = ['unshare', '--map-root-user', '--mount', 'sh', '-c',
              'mount -t tmpfs -o size=6m tmpfs "$0" && exec "$@"']
# First on a full disk; then, once a file is gone from it, the same command again.
TWICE = ['sh', '-c', 'head -c 4000000 /dev/zero > "$0/ballast"; "$@"; echo "exit code $?"; '
         'ls "$0"/run; rm "$0/ballast"; "$@"; echo "exit code $?"']


@pytest.mark.slow
def test_full_disk(data, tmp_path):
  launcher = [*SMALL_DISK, str(tmp_path)]
  if subprocess.run([*launcher, 'true'], capture_output=True).returncode:
    pytest.skip('no small disk can be mounted here: run the tests as root, or let users make '
                'namespaces (sysctl kernel.unprivileged_userns_clone=1)')
  run = tmp_path / 'run'
  code, output = command_line.run({
      **command_line.TINY, 'dataset_dir': data, 'output_dir': run, 'stop_at_step': 4,
      'save_checkpoint_every_n_iters': 2, 'max_checkpoints_to_keep': 1},
      launcher=[*launcher, *TWICE, str(tmp_path)])
  assert code == 0, output
  first, second = output.split('exit code 1\n')
  error = first.splitlines()[-1]
  assert f'no space left for the run in {run}' in error
  assert f'the newest checkpoint, {run}/model.ckpt-0, is complete. Free space' in error
  assert 'model.ckpt-0.index' in second.split()
  assert f'steps 0 to 4, resuming {run}/model.ckpt-0' in second
  assert second.endswith('exit code 0\n')
  assert not os.listdir(tmp_path)
