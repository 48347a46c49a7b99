"""Finds the checkpoint from which a run resumes, and checks that it fits before it is restored."""
import os

from absl import logging

from images.utils import checkpoint_utils, cluster_utils, file_utils, position_utils
from images.utils.run_utils import RECORD
from images.utils.tf1 import tf


def newest_checkpoint(output_dir):
  """Return (path, global step, images trained on, position in the data) of the newest checkpoint.

  If there is none, it is (None, 0, 0, []). The images are those of all steps and ranks; the
  position is as position_utils describes it, [] for mock data.

  Raises:
    ValueError: the checkpoint is damaged, or in another directory.
  """
  path = checkpoint_utils.newest_in(output_dir)
  if not path:
    named, file = checkpoint_utils.named_path(output_dir), os.path.join(output_dir, 'checkpoint')
    if named and tf.train.checkpoint_exists(named):
      raise ValueError(f'{file} names {named}, in another directory: copy its files to '
                       f'{output_dir}, or remove {file} to start a new run')
    return None, 0, 0, []
  try:
    reader = tf.train.load_checkpoint(path)
    images, position = (reader.get_tensor(name) if reader.has_tensor(name) else None
                        for name in ('images_trained', 'input_position'))
    return (path, int(reader.get_tensor('global_step')), int(images or 0),
            [] if position is None else position_utils.from_matrix(position))
  except (tf.errors.OpError, RuntimeError, ValueError, IndexError) as error:
    remedy = _if_no_run(path, output_dir) or (
        'Remove its files, then the same command resumes from the one before')
    raise ValueError(f'{path} cannot be read: {error}. {remedy}') from error


def resume_point(output_dir):
  """Return the chief's newest_checkpoint() on every rank; only the chief needs to see it."""
  return cluster_utils.broadcast_object(
      newest_checkpoint(output_dir) if cluster_utils.is_chief() else None)


def check_is_newest(checkpoint, output_dir):
  """Let the chief make sure that nobody has saved another since `checkpoint` was found.

  Args:
    checkpoint: string, the path that newest_checkpoint() returned, or None.
    output_dir: string, a directory that this run now owns, see run_utils.owned().

  Raises:
    RuntimeError: the directory has another newest checkpoint.
  """
  newest = checkpoint_utils.newest_in(output_dir) if cluster_utils.is_chief() else checkpoint
  if newest != checkpoint:
    raise RuntimeError(f'another run has just saved {newest}: start the same command again to '
                       'resume from it')


def name_checkpoint(checkpoint, output_dir):
  """Correct the file `checkpoint` in `output_dir`, as TensorFlow restores what it names.

  Args:
    checkpoint: string, the path that newest_checkpoint() returned, or None.
    output_dir: string.
  """
  path = os.path.join(output_dir, 'checkpoint')
  named = checkpoint_utils.named_path(output_dir) or 'nothing'
  if checkpoint is None and tf.io.gfile.exists(path):
    tf.io.gfile.remove(path)
    logging.warning('%s named %s, but there is no checkpoint: removed the file', path, named)
  if checkpoint is None or os.path.realpath(checkpoint) == os.path.realpath(named):
    return
  name = os.path.basename(checkpoint)
  saved = [f'model.ckpt-{step}' for step in checkpoint_utils.saved_steps(output_dir)]
  lines = [f'model_checkpoint_path: "{name}"\n']
  lines += [f'all_model_checkpoint_paths: "{each}"\n' for each in dict.fromkeys([*saved, name])]
  file_utils.write_text(path, ''.join(lines))
  logging.warning('%s named %s; corrected it to %s, in the same directory', path, named, name)


def check_resumable(checkpoint, output_dir):
  """Raise ValueError unless a run's newest checkpoint holds exactly the variables of the graph.

  Restoring would silently accept weights of another shape.
  """
  remedy = _if_no_run(checkpoint, output_dir) or (
      'The run was started with other flags or by an older version, see '
      f'{output_dir}/{RECORD}: use the same --model_name, --num_classes, --train_image_size, '
      '--dataset_name, --optimizer, --loss_scale, --trainable_scopes and --moving_average_decay, '
      'or another --output_dir.')
  checkpoint_utils.check_loadable(tf.global_variables(), checkpoint, remedy, exact=True)


def _if_no_run(checkpoint, output_dir):
  """Return what to do with `checkpoint` if `output_dir` is not the directory of a run; else ''."""
  if tf.io.gfile.exists(os.path.join(output_dir, RECORD)):
    return ''
  return (f'{output_dir} is not the directory of a run, as it has no {RECORD}: to start '
          'from its weights, choose another --output_dir, and --task_type=finetune '
          f'--model_dir={output_dir} --ckpt_file_name={os.path.basename(checkpoint)} '
          '--restore_moving_averages.')


def count_images(train_op, *, first_step, images, global_batch):
  """Return an operation that runs `train_op` and counts images in the variable `images_trained`.

  Checkpoints hold this variable, as the step does not tell how many epochs have been trained once
  `global_batch` has changed.

  Args:
    train_op: operation that makes a step.
    first_step: int, the global step at which training begins.
    images: int, the number of images in the steps before.
    global_batch: int, the number of images in a step over all ranks.
  """
  count = tf.get_variable('images_trained', [], tf.int64, trainable=False,
                          initializer=tf.zeros_initializer())
  with tf.control_dependencies([train_op]):
    steps = tf.train.get_global_step().read_value() - first_step
    return count.assign(images + steps * global_batch).op
