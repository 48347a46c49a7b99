"""Trains, finetunes and evaluates image classifiers.

One process:      python train_image_classifiers.py --enable_paisoar=False --flags...
Two on this host: horovodrun -np 2 python train_image_classifiers.py --flags...

This file wires the parts together, and only this file reads the flags: loss_fn combines a
network, a preprocessing and a data set; PAISoar's optimizer turns the loss into train_op; and a
MonitoredTrainingSession runs train_op with the hooks.
"""
import collections
import math
import os
import sys

from absl import app, logging

import flags
from images.utils import process_utils

if __name__ == '__main__':
  process_utils.number_lines()  # Before TensorFlow is loaded, as loading it writes lines.
  process_utils.leave_at_signal()

from images.datasets import dataset_factory
from images.models import model_factory
from images.preprocessing import preprocessing_factory
from images.utils import (
    agreement_utils,
    checkpoint_utils,
    cluster_utils,
    error_utils,
    evaluation_utils,
    file_utils,
    garbage_utils,
    gradient_utils,
    hooks_utils,
    inference_utils,
    learning_rate_utils,
    misc_utils,
    optimizer_utils,
    paisoar,
    precision_utils,
    progress_utils,
    resume_utils,
    run_utils,
    stall_utils,
    stop_utils,
)
from images.utils.tf1 import tf

FLAGS = flags.flags.FLAGS

# The flags that choose the checkpoint of a finetune run, and what is loaded from it.
LOADING = ['model_dir', 'ckpt_file_name', 'checkpoint_exclude_scopes', 'restore_moving_averages',
           'use_ema_weights']

# The file in the directory of a finetune run that lists what was loaded.
FINETUNE_RECORD = 'finetune.json'

# What a training run needs to know before its graph is built.
Plan = collections.namedtuple('Plan', [
    'output_dir',    # string
    'checkpoint',    # path of the checkpoint to resume from, or None
    'first_step',    # its global step, or 0
    'images_trained',  # by all ranks up to first_step
    'position',      # in the training data at first_step, see position_utils
    'data_sources',  # the training files
    'num_samples',   # images in an epoch
    'learning_rate',  # before warm-up and decay
    'global_batch',  # images per step over all ranks
    'ahead',         # images_trained in steps of this global batch, minus first_step; a float
    'total_steps',   # the global step at which training ends
    'dtype',         # the dtype that the network computes in
])


def train():
  """Pretrain or finetune; resume from the newest checkpoint in the run directory, if any."""
  plan = make_plan()
  if plan.first_step >= plan.total_steps:
    limit = 'stop_at_step' if plan.total_steps == FLAGS.stop_at_step else 'num_epochs'
    logging.info('%s has reached step %d of %d, nothing is left to do: raise --%s or choose '
                 'another --output_dir', plan.output_dir, plan.first_step, plan.total_steps, limit)
    return
  report_start(plan)
  with run_utils.owned(plan.output_dir), tf.Graph().as_default(), \
      error_utils.explained(plan.data_sources.files, plan.output_dir, plan.checkpoint):
    resume_utils.check_is_newest(plan.checkpoint, plan.output_dir)
    tf.set_random_seed(FLAGS.seed)
    global_step = tf.train.get_or_create_global_step()
    with garbage_utils.without_collection():
      train_op, tensors = build_training(plan, global_step)
    hooks = get_hooks(plan, tensors)
    check_variables()
    record_start(plan)
    with stop_utils.released_at_an_error(), \
        stall_utils.watched(lambda: error_utils.last_checkpoint(plan.output_dir)), \
        tf.train.MonitoredTrainingSession(
            checkpoint_dir=plan.output_dir if cluster_utils.is_chief() else None,
            hooks=hooks,
            scaffold=run_utils.scaffold(),
            save_checkpoint_secs=None,
            save_summaries_steps=FLAGS.log_loss_every_n_iters,
            log_step_count_steps=None,
            config=get_session_config(is_training=True)) as session:
      while not session.should_stop():
        session.run(train_op)
    report_end(plan)
    if any(getattr(hook, 'stopped', False) for hook in hooks):
      cluster_utils.barrier()  # Once a rank exits, the launcher kills the others, even mid-save.
      sys.exit(process_utils.EXIT_STOPPED)
  stop_utils.release()


def build_training(plan, global_step):
  """Build the graph of a training step.

  Args:
    plan: Plan.
    global_step: scalar integer variable.

  Returns:
    train_op: the operation that runs a training step.
    tensors: dict of the tensors that the hooks log and watch, see hooks_utils.
  """
  network_fn, preprocessing_fn, image_size = get_network_and_preprocessing(plan.dtype)
  dataset_iterator = get_dataset_iterator(plan, preprocessing_fn, image_size)
  metrics = {}

  def loss_fn():
    """Return the loss, a scalar tensor, and put the accuracy of the batch into `metrics`."""
    with tf.device('/cpu:0'):
      images, labels = dataset_iterator.get_next()
      # The batch determines what dropout keeps, so that a run can be resumed exactly.
      seed = tf.stack([FLAGS.seed, dataset_iterator.place])
    logits, end_points = network_fn(images, seed=seed)
    loss = tf.losses.sparse_softmax_cross_entropy(
        labels=labels, logits=tf.cast(logits, tf.float32), weights=1.0)
    if 'AuxLogits' in end_points:
      loss += tf.losses.sparse_softmax_cross_entropy(
          labels=labels, logits=tf.cast(end_points['AuxLogits'], tf.float32), weights=0.4)
    metrics['accuracy'] = tf.reduce_mean(
        tf.cast(tf.equal(tf.argmax(logits, axis=1), labels), tf.float32))
    return loss + precision_utils.regularization_loss()

  learning_rate = get_learning_rate(plan, global_step)
  opt = get_optimizer(learning_rate)
  with gradient_utils.fast_gradients():
    loss = opt.compute_loss(loss_fn, loss_scale=FLAGS.loss_scale)
  # Before the optimizer, whose moving averages start from the initial values of the variables.
  if FLAGS.task_type == 'finetune' and plan.checkpoint is None and cluster_utils.is_chief():
    load_finetune_checkpoint(plan)
  trained = misc_utils.scope_variables(FLAGS.trainable_scopes)
  train_op = opt.minimize(loss, global_step=global_step, var_list=trained)
  train_op = resume_utils.count_images(train_op, first_step=plan.first_step,
                                       images=plan.images_trained,
                                       global_batch=plan.global_batch)
  if FLAGS.print_model_statistics and cluster_utils.is_chief():
    logging.info('trainable variables:\n%s', misc_utils.model_statistics(trained))
  return train_op, progress_utils.progress_tensors(
      train_op, opt, loss=loss, metrics=metrics, learning_rate=learning_rate,
      skipped=dataset_iterator.skipped, allowed=dataset_iterator.allowed,
      wait=dataset_iterator.wait, follow=dataset_iterator.follow)


def make_plan():
  """Return the Plan of the run; every rank makes the same one."""
  get_network_and_preprocessing(tf.float32)  # Report misspelled names before creating anything.
  hooks_utils.get_builders(FLAGS.hooks)
  check_loading()
  data_sources = dataset_factory.get_data_sources(FLAGS.dataset_name, FLAGS.dataset_dir,
                                                  FLAGS.train_files)
  agreement_utils.check('data', dataset_factory.facts(data_sources))
  dataset_factory.check_labels(data_sources, FLAGS.num_classes, FLAGS.labels_offset)
  output_dir = run_utils.open_run_dir(FLAGS.output_dir, model_name=FLAGS.model_name,
                                      dataset_name=FLAGS.dataset_name)
  checkpoint, first_step, images_trained, position = resume_utils.resume_point(output_dir)
  global_batch = FLAGS.batch_size * FLAGS.accumulate_steps * cluster_utils.size()
  scaling = learning_rate_utils.SCALINGS[FLAGS.learning_rate_scaling](cluster_utils.size())
  num_samples = FLAGS.num_sample_per_epoch or sum(data_sources.counts)
  left = max(0, FLAGS.num_epochs * num_samples - images_trained)
  return Plan(
      output_dir=output_dir,
      checkpoint=checkpoint,
      first_step=first_step,
      images_trained=images_trained,
      position=position,
      data_sources=data_sources,
      num_samples=num_samples,
      learning_rate=FLAGS.learning_rate * scaling,
      global_batch=global_batch,
      ahead=images_trained / global_batch - first_step,
      total_steps=min(FLAGS.stop_at_step, first_step + math.ceil(left / global_batch)),
      dtype=get_dtype())


def check_loading():
  """Check that finetuning has a checkpoint to load, and that pretraining is given none.

  Raises:
    ValueError: finetuning without --model_dir or --ckpt_file_name, or pretraining with a flag of
      LOADING.
    FileNotFoundError: a new finetune run's checkpoint does not exist.
  """
  if FLAGS.task_type == 'finetune':
    for name in ('model_dir', 'ckpt_file_name'):
      if not FLAGS[name].value:
        raise ValueError(f'--{name} is needed with --task_type=finetune')
    is_new = not (FLAGS.output_dir and checkpoint_utils.newest_in(FLAGS.output_dir))
    if is_new and cluster_utils.is_chief():
      checkpoint_utils.checkpoint_path(FLAGS.model_dir, FLAGS.ckpt_file_name)
  else:
    given = [f'--{name}' for name in LOADING if FLAGS[name].value]
    if given:
      raise ValueError(f'{", ".join(given)} given, which --task_type=pretrain does not use, as it '
                       'loads no checkpoint: give --task_type=finetune, or leave them out')


def get_dtype():
  """Return the dtype that the network computes in for the flags; call once, as it may warn."""
  return precision_utils.compute_dtype(FLAGS.use_fp16, FLAGS.half_dtype)


def get_network_and_preprocessing(dtype):
  """Return (network_fn, preprocessing_fn, image size in pixels) for the flags.

  network_fn computes in `dtype`. It takes the images that preprocessing_fn returns. If the
  preprocessing ends in arithmetic on each pixel, network_fn does that part, on the device: see
  preprocessing_factory.get_halves().
  """
  is_training = FLAGS.task_type in ['pretrain', 'finetune']
  network_fn = model_factory.get_network_fn(
      FLAGS.model_name,
      num_classes=FLAGS.num_classes,
      weight_decay=FLAGS.weight_decay,
      is_training=is_training,
      has_auxiliary_head=is_training)
  preprocessing_fn, on_device = preprocessing_factory.get_halves(
      FLAGS.preprocessing_name or FLAGS.model_name,
      is_training=is_training)
  compute = precision_utils.computing_in(dtype, network_fn)
  image_size = FLAGS.train_image_size or getattr(network_fn, 'default_image_size', None)
  if not image_size:
    raise ValueError(f'the network {FLAGS.model_name} has no attribute default_image_size: set it, '
                     'or give --train_image_size')

  def preprocess_and_compute(images, **kwargs):
    return compute(on_device(images), **kwargs)

  return preprocess_and_compute, preprocessing_fn, image_size


def get_dataset_iterator(plan, preprocessing_fn, image_size):
  """Return the iterator of training batches for the flags."""
  return dataset_factory.get_dataset_iterator(
      FLAGS.dataset_name,
      image_size,
      preprocessing_fn,
      plan.data_sources,
      num_classes=FLAGS.num_classes,
      batch_size=FLAGS.batch_size,
      seed=FLAGS.seed,
      position=plan.position,
      shuffle_buffer_size=FLAGS.shuffle_buffer_size,
      num_parallel_batches=FLAGS.num_parallel_batches,
      prefetch_buffer_size=FLAGS.prefetch_buffer_size,
      num_preprocessing_threads=FLAGS.num_preprocessing_threads,
      datasets_use_caching=FLAGS.datasets_use_caching,
      max_bad_fraction=FLAGS.max_bad_fraction,
      labels_offset=FLAGS.labels_offset)


def get_learning_rate(plan, global_step):
  """Return the learning rate of the step, a scalar tensor, for the flags."""
  return learning_rate_utils.get_learning_rate(
      global_step,
      learning_rate=plan.learning_rate,
      total_steps=plan.total_steps,
      decay_steps=plan.num_samples * FLAGS.num_epochs_per_decay / plan.global_batch,
      learning_rate_decay_type=FLAGS.learning_rate_decay_type,
      learning_rate_decay_factor=FLAGS.learning_rate_decay_factor,
      end_learning_rate=FLAGS.end_learning_rate,
      decay_scheme=FLAGS.decay_scheme,
      warmup_steps=FLAGS.warmup_steps,
      ahead=plan.ahead)


def get_optimizer(learning_rate):
  """Return PAISoar's optimizer around the one of the flags."""
  return paisoar.ReplicatedVarsOptimizer(
      optimizer_utils.get_optimizer(FLAGS.optimizer, learning_rate, own_values()),
      clip_norm=FLAGS.max_gradient_norm,
      accumulate_steps=FLAGS.accumulate_steps,
      gradient_compression=FLAGS.gradient_compression,
      moving_average_decay=FLAGS.moving_average_decay)


def get_hooks(plan, tensors):
  """Return the hooks of a training session for the flags."""
  return hooks_utils.get_hooks(FLAGS.hooks, hooks_utils.Run(
      tensors=tensors,
      output_dir=plan.output_dir,
      total_steps=plan.total_steps,
      global_batch=plan.global_batch,
      log_loss_every_n_iters=FLAGS.log_loss_every_n_iters,
      profile_every_n_iters=FLAGS.profile_every_n_iters,
      profile_at_task=FLAGS.profile_at_task,
      save_checkpoint_every_n_iters=FLAGS.save_checkpoint_every_n_iters,
      max_checkpoints_to_keep=FLAGS.max_checkpoints_to_keep))


def load_finetune_checkpoint(plan):
  """Initialize the network's variables from the checkpoint of the flags; record what is loaded."""
  path = checkpoint_utils.checkpoint_path(FLAGS.model_dir, FLAGS.ckpt_file_name)
  loaded, left_out = misc_utils.load_checkpoint(
      tf.model_variables(), path,
      restore_moving_averages=FLAGS.restore_moving_averages,
      use_ema_weights=FLAGS.use_ema_weights,
      exclude_scopes=misc_utils.split_scopes(FLAGS.checkpoint_exclude_scopes,
                                             'checkpoint_exclude_scopes'))
  record = os.path.join(plan.output_dir, FINETUNE_RECORD)
  file_utils.write_json(record, {
      'checkpoint': path, 'not loaded': left_out,
      'loaded': {variable.op.name: name for name, variable in loaded.items()}})
  logging.info('finetune:\n%s\n      every variable: %s',
               misc_utils.loading_report(path, loaded, left_out), record)


def check_variables():
  """Make sure that all ranks train the same variables."""
  trainable = {variable.op.name for variable in tf.trainable_variables()}
  agreement_utils.check('variables', {
      variable.op.name: f'{variable.shape.as_list()} {variable.dtype.base_dtype.name}'
                        f'{", trainable" if variable.op.name in trainable else ""}'
      for variable in tf.global_variables()})


def report_start(plan):
  """Log what is about to run."""
  hosts = cluster_utils.hosts()  # Every rank has to call it.
  if not cluster_utils.is_chief():
    return
  logging.info('%s %s on %s: images %d, files %d', FLAGS.task_type, FLAGS.model_name,
               FLAGS.dataset_name, plan.num_samples, len(plan.data_sources.files))
  logging.info('ranks %d, hosts %s, transport %s, compute in %s', cluster_utils.size(), hosts,
               cluster_utils.transport(), plan.dtype.name)
  logging.info('global batch %d, learning rate %s, flags set: %s', plan.global_batch,
               rate_in_words(plan), ' '.join(flag.serialize() for flag in own_flags()
                                             if flag.value != flag.default) or 'none')
  logging.info('steps %d to %d, %s, run directory %s', plan.first_step, plan.total_steps,
               f'resuming {plan.checkpoint}' if plan.checkpoint else 'a new run', plan.output_dir)
  warn_of_flags(plan)
  if plan.total_steps < FLAGS.stop_at_step:
    logging.info('--num_epochs=%d ends training before --stop_at_step=%d', FLAGS.num_epochs,
                 FLAGS.stop_at_step)
  if plan.checkpoint:
    run_utils.warn_of_changes(plan.output_dir, own_values(), ranks=cluster_utils.size(),
                              files=records_of_files(plan))


def warn_of_flags(plan):
  """Log a warning for each flag that may not do what the user expects."""
  hooks = hooks_utils.get_builders(FLAGS.hooks)
  decays = FLAGS.learning_rate_decay_type != 'fixed'
  has_loaded = tf.io.gfile.exists(os.path.join(plan.output_dir, FINETUNE_RECORD))
  for warned, words in (
      (FLAGS.task_type == 'finetune' and plan.checkpoint and not has_loaded,
       f'{plan.output_dir} holds a run that was not finetuned from a checkpoint, and is resumed: '
       f'to load {FLAGS.ckpt_file_name} of {FLAGS.model_dir} choose another --output_dir'),
      (FLAGS.loss_scale == 1 and
       (plan.dtype == tf.float16 or FLAGS.gradient_compression == 'fp16'),
       '--loss_scale=1 with float16 gradients: small ones become zero; --loss_scale=0 finds and '
       'adapts the scale'),
      (decays and plan.learning_rate <= FLAGS.end_learning_rate,
       f'the learning rate never decays: lower --end_learning_rate={FLAGS.end_learning_rate:g}, '
       'the floor of its decay, or give --learning_rate_decay_type=fixed'),
      (FLAGS.optimizer == 'ftrl' and not plan.first_step
       and (FLAGS.ftrl_initial_accumulator_value or not FLAGS.ftrl_learning_rate_power),
       'the first step of --optimizer=ftrl shrinks weights with small gradients to almost 0, so '
       'that initial or loaded weights are lost: lower --ftrl_initial_accumulator_value='
       f'{FLAGS.ftrl_initial_accumulator_value:g}, with --ftrl_learning_rate_power below 0'),
      (FLAGS.warmup_steps >= plan.total_steps,
       f'the learning rate is never reached: --warmup_steps={FLAGS.warmup_steps}'),
      ('CheckpointSaverHook' not in hooks,
       'nothing will be saved: --hooks has no CheckpointSaverHook'),
      (FLAGS.profile_every_n_iters and 'ProfilerHook' not in hooks,
       'no timelines: --hooks has no ProfilerHook')):
    if warned:
      logging.warning(words)


def rate_in_words(plan):
  """Return the learning rate as text, with that of the first step if this differs."""
  with tf.Graph().as_default(), tf.Session(config=get_session_config()) as session:
    first = session.run(get_learning_rate(plan, tf.constant(plan.first_step)))
  base = f'{plan.learning_rate:g}'
  return base if f'{first:g}' == base else f'{base} ({first:.3g} at step {plan.first_step})'


def own_flags():
  """Return the flags of this project, as absl's flag objects."""
  return FLAGS.flags_by_module_dict()[flags.__name__]


def own_values():
  """Return the values of the flags of this project, a dict keyed by flag name."""
  return {flag.name: flag.value for flag in own_flags()}


def record_start(plan):
  """Check that the checkpoint to resume from fits the graph, then write the record of the run."""
  if not cluster_utils.is_chief():
    return
  if plan.checkpoint:
    resume_utils.check_resumable(plan.checkpoint, plan.output_dir)
  resume_utils.name_checkpoint(plan.checkpoint, plan.output_dir)
  write_record(plan, step=plan.first_step)


def report_end(plan):
  """Log the last step and checkpoint of the run, and update its record."""
  if not cluster_utils.is_chief():
    return
  checkpoint, step, *_ = resume_utils.newest_checkpoint(plan.output_dir)
  if checkpoint == plan.checkpoint and 'CheckpointSaverHook' not in hooks_utils.get_builders(
      FLAGS.hooks):
    logging.warning('done, without a checkpoint: --hooks has no CheckpointSaverHook')
    return
  write_record(plan, step=step)
  logging.info('%s at step %d of %d, checkpoint %s', 'done' if step >= plan.total_steps else
               'stopped', step, plan.total_steps, checkpoint)


def write_record(plan, step):
  """Write run.json: the resolved flags, versions, data and step of the run."""
  run_utils.write_record(
      plan.output_dir,
      own_values(),
      step=step,
      total_steps=plan.total_steps,
      files=records_of_files(plan))


def records_of_files(plan):
  """Return the number of records in each training file, a dict keyed by path."""
  return dict(zip(plan.data_sources.files, plan.data_sources.counts))


def evaluate():
  """Measure top-1 and top-5 accuracy of a checkpoint; the ranks share the images, each once."""
  # The chief decides: other ranks may see another newest checkpoint, later or on another host.
  path, output_dir = cluster_utils.broadcast_object(
      get_checkpoint() if cluster_utils.is_chief() else None)
  data_sources = dataset_factory.get_data_sources(
      FLAGS.dataset_name, FLAGS.dataset_dir, FLAGS.eval_files, is_training=False)
  dataset_factory.check_labels(data_sources, FLAGS.num_classes, FLAGS.labels_offset)
  agreement_utils.check('data', dataset_factory.facts(data_sources))
  with tf.Graph().as_default():
    dtype = get_dtype()
    network_fn, preprocessing_fn, image_size = get_network_and_preprocessing(dtype)
    iterator = dataset_factory.get_evaluation_iterator(
        FLAGS.dataset_name,
        image_size,
        preprocessing_fn,
        data_sources,
        num_classes=FLAGS.num_classes,
        batch_size=FLAGS.batch_size,
        num_parallel_batches=FLAGS.num_parallel_batches,
        num_preprocessing_threads=FLAGS.num_preprocessing_threads,
        max_bad_fraction=FLAGS.max_bad_fraction,
        labels_offset=FLAGS.labels_offset)
    with tf.device('/cpu:0'):
      batch = iterator.get_next()
    logits, _ = network_fn(batch['image'])
    with error_utils.explained(data_sources.files, output_dir, path):
      result = evaluation_utils.evaluate(
          iterator, batch, logits=tf.cast(logits, tf.float32), checkpoint=path,
          max_bad_fraction=FLAGS.max_bad_fraction, **get_session_options())
      if cluster_utils.is_chief():
        evaluation_utils.report({**result, 'compute': dtype.name, 'flags': own_values()},
                                output_dir)


def predict():
  """Print the most likely classes of each image file."""
  if not cluster_utils.is_chief():
    return  # One rank is enough.
  path, output_dir = get_checkpoint()
  files = inference_utils.find_images(FLAGS.predict_files)
  names = inference_utils.class_names(
      FLAGS.dataset_dir, num_labels=FLAGS.num_classes + FLAGS.labels_offset)
  dtype = get_dtype()
  logging.info('predicting with %s, which computes in %s', path, dtype.name)
  with tf.Graph().as_default():
    network_fn, preprocessing_fn, image_size = get_network_and_preprocessing(dtype)
    batch, images = inference_utils.image_batches(
        files, lambda encoded: preprocessing_fn(encoded, image_size, image_size),
        batch_size=FLAGS.batch_size, num_preprocessing_threads=FLAGS.num_preprocessing_threads)
    logits, _ = network_fn(images)
    done = []
    with error_utils.explained(files, output_dir, path):
      for file, classes in inference_utils.classify(
          batch, tf.cast(logits, tf.float32), checkpoint=path, names=names,
          labels_offset=FLAGS.labels_offset, **get_session_options()):
        print(f'{file}: ' + ', '.join(f'{name} {share:.4f}' for name, share in classes))
        done.append(file)
  inference_utils.check_complete(files, done)


def export():
  """Write a SavedModel that takes encoded images, into the directory of the run."""
  if not cluster_utils.is_chief():
    return  # The others would write to the same directory.
  path, output_dir = get_checkpoint()
  dtype = get_dtype()
  with tf.Graph().as_default():
    network_fn, preprocessing_fn, image_size = get_network_and_preprocessing(dtype)
    encoded = tf.placeholder(tf.string, [None], name='images')
    with tf.device('/cpu:0'):
      images = inference_utils.decoded_batch(
          encoded, lambda image: preprocessing_fn(image, image_size, image_size))
    logits, _ = network_fn(images)
    with error_utils.explained([], output_dir, path):
      export_dir = inference_utils.export(encoded, tf.cast(logits, tf.float32), checkpoint=path,
                                          export_dir=os.path.join(output_dir, 'saved_model'),
                                          labels_offset=FLAGS.labels_offset,
                                          **get_session_options())
  logging.info('SavedModel of %s, which computes in %s, written to %s', path, dtype.name,
               export_dir)


def get_checkpoint():
  """Return (path of the checkpoint to use, directory for the results)."""
  model_dir = FLAGS.model_dir or FLAGS.output_dir
  if not model_dir:
    raise ValueError(f'--task_type={FLAGS.task_type} needs --output_dir, the directory of a run, '
                     'or --model_dir and --ckpt_file_name')
  path = checkpoint_utils.checkpoint_path(
      model_dir, FLAGS.ckpt_file_name, '--model_dir' if FLAGS.model_dir else '--output_dir')
  output_dir = FLAGS.output_dir or model_dir
  if FLAGS.task_type != 'predict':  # Predictions are only printed.
    file_utils.make_writable(output_dir)
  run_utils.warn_of_changes(os.path.dirname(path), {name: FLAGS[name].value for name in (
      'model_name', 'num_classes', 'labels_offset', 'preprocessing_name', 'train_image_size')})
  return path, output_dir


def get_session_config(is_training=False):
  """Return the tf.ConfigProto for the flags."""
  return cluster_utils.session_config(FLAGS.log_device_placement, is_training=is_training,
                                      xla=FLAGS.xla)


def get_session_options():
  """Return keyword arguments for the functions that run a checkpoint in a session."""
  return {'config': get_session_config(),
          'use_ema_weights': FLAGS.use_ema_weights}


# --task_type -> what main() runs.
TASKS = {
    'pretrain': train,
    'finetune': train,
    'evaluate': evaluate,
    'predict': predict,
    'export': export,
}


def main(argv):
  """Run the task that the flags name."""
  if len(argv) > 1:
    raise app.UsageError(f'unexpected arguments {argv[1:]}: flags start with --, and values with '
                         'spaces need quotes')
  # TensorFlow warns of deprecations within its own code, which users cannot fix.
  tf.logging.set_verbosity(tf.logging.ERROR)
  if FLAGS['verbosity'].using_default_value:
    logging.set_verbosity(logging.INFO)
  cluster_utils.init(FLAGS.enable_paisoar, FLAGS.stall_limit_secs)
  agreement_utils.check('code', {**run_utils.code(), **run_utils.versions()})
  agreement_utils.check('flags', {f'--{flag.name}': flag.value for flag in own_flags()})
  TASKS[FLAGS.task_type]()


if __name__ == '__main__':
  app.run(main)
