"""Uses a trained network: classifies image files, and writes a SavedModel."""
import os

import numpy as np
from absl import logging

from images.datasets import tfrecord
from images.utils import checkpoint_utils, dataset_utils, stall_utils
from images.utils.tf1 import tf

_TOP = 5


def find_images(patterns):
  """Return the files of comma-separated names or glob patterns, each once, sorted within a pattern.

  Raises:
    ValueError: no pattern is given, or one is a directory.
    FileNotFoundError: a pattern matches no file.
  """
  patterns = [pattern.strip() for pattern in (patterns or '').split(',') if pattern.strip()]
  if not patterns:
    raise ValueError("--predict_files is needed: names or glob patterns, such as 'photos/*.jpg'")
  paths = {}
  for pattern in patterns:
    if tf.io.gfile.isdir(pattern):
      raise ValueError(f'--predict_files: {pattern} is a directory: give '
                       f"'{os.path.join(pattern, '*')}'")
    # The name of a file may look like a pattern, such as photo[1].jpg.
    named = [pattern] if tf.io.gfile.exists(pattern) else sorted(tf.io.gfile.glob(pattern))
    found = [path for path in named if not tf.io.gfile.isdir(path)]
    if not found:
      comma = '; if a name contains a comma, write ? instead' if len(patterns) > 1 else ''
      raise FileNotFoundError(f'--predict_files: no file matches {pattern!r}{comma}')
    for path in found:
      paths.setdefault(os.path.abspath(path), path)
  return list(paths.values())


def class_names(dataset_dir, *, num_labels):
  """Return a dict from the labels of a data set to the names of the classes; {} without directory.

  Args:
    dataset_dir: string, the directory of its files, or None.
    num_labels: int, the expected number of labels; the log warns if it differs.

  Raises:
    FileNotFoundError: the directory has no file of names.
  """
  names = tfrecord.read_labels(dataset_dir) if dataset_dir else {}
  if names is None:
    raise FileNotFoundError(f'--dataset_dir={dataset_dir} has no {tfrecord.LABELS}, which names '
                            'the classes: leave the flag out to see their numbers')
  if names and max(names) + 1 != num_labels:
    logging.warning('%s has names for %d classes, but the network has %d: check --dataset_dir, '
                    '--num_classes and --labels_offset', dataset_dir, max(names) + 1, num_labels)
  return names


def image_batches(paths, preprocess, *, batch_size, num_preprocessing_threads=16):
  """Return the next batch: paths, string [batch], and images [batch, height, width, channels].

  A file that is not an image is left out, and TensorFlow logs why.

  Args:
    paths: list of strings, image files; the last batch may be smaller.
    preprocess: function from encoded bytes, a scalar string tensor, to an image.
    batch_size: int.
    num_preprocessing_threads: int, how many images are prepared at the same time.
  """
  dataset = tf.data.Dataset.from_tensor_slices(tf.constant(paths))
  dataset = dataset.map(lambda path: (path, preprocess(_without_palette(tf.io.read_file(path)))),
                        num_parallel_calls=num_preprocessing_threads)
  dataset = dataset.ignore_errors(log_warning=True).batch(batch_size).with_options(
      dataset_utils.options(num_preprocessing_threads))
  return tf.data.make_one_shot_iterator(dataset).get_next()


def _without_palette(encoded):
  """Return `encoded`, a scalar string tensor, as it is; fail if it is a BMP with a palette.

  TensorFlow ignores a palette and takes its indices for shades of grey, which is rarely right. Byte
  28 of a BMP holds the bits of a pixel, which are at most 8 with a palette.
  """
  first = tf.io.decode_raw(tf.strings.substr(encoded, 0, 29), tf.uint8)
  bits = tf.concat([tf.constant([255], tf.uint8), first], 0)[-1]  # 255 if there is no byte at all.
  has_palette = tf.equal(tf.strings.substr(encoded, 0, 2), 'BM') & (bits < 24)
  with tf.control_dependencies([tf.debugging.Assert(~has_palette, ['a BMP with a palette'])]):
    return tf.identity(encoded)


def classify(paths, logits, *, checkpoint, names=None, labels_offset=0, config=None,
             use_ema_weights=False):
  """Yield (path, [(class, probability), ...]) for each image, the likeliest classes first.

  Args:
    paths: string tensor [batch], from image_batches().
    logits: float32 [batch, classes], the network's output for the images from image_batches().
    checkpoint: string, path of the checkpoint with the network's variables.
    names: dict from labels to names, or None; a class without one is called by its label.
    labels_offset: int, class k of the network has the label k + labels_offset.
    config: tf.ConfigProto.
    use_ema_weights: bool, see checkpoint_utils.stored_names().

  Raises:
    ValueError: the network's output for an image is not finite.
  """
  top = tf.nn.top_k(tf.nn.softmax(logits), k=min(_TOP, logits.shape[-1]))
  with restored_session(checkpoint, config, use_ema_weights=use_ema_weights) as session:
    while True:
      try:
        files, (values, indices) = session.run((paths, top))
      except tf.errors.OutOfRangeError:
        return
      stall_utils.heartbeat()  # Other ranks wait at their exit.
      for file, probabilities, classes in zip(files, values, indices):
        if not np.all(np.isfinite(probabilities)):
          raise ValueError(f"the network's output for {file.decode()} is not finite: check the "
                           f'weights in {checkpoint}, or give --use_fp16=False')
        found = [_name(int(number) + labels_offset, names) for number in classes]
        yield file.decode(), list(zip(found, probabilities.tolist()))


def _name(label, names):
  """Return the name of a label; a negative one is the background class, which no image has."""
  return (names or {}).get(label, 'background' if label < 0 else str(label))


def check_complete(paths, done):
  """Raise ValueError if not all of the image files `paths` are `done`, both lists of strings."""
  left = sorted(set(paths) - set(done))
  if left:
    raise ValueError(f'--predict_files: {len(left)} of {len(paths)} cannot be used, the others are '
                     'done; warnings of TensorFlow above say why (hidden if TF_CPP_MIN_LOG_LEVEL '
                     'is above 1): convert them to JPEG or PNG, or crop those that are too thin: '
                     f'{", ".join(left)}')


def restored_session(checkpoint, config=None, *, use_ema_weights=False):
  """Return a session in which all variables of the graph have the checkpoint's values.

  Raises:
    ValueError: the checkpoint does not fit the variables.
  """
  stored = checkpoint_utils.check_loadable(tf.global_variables(), checkpoint,
                                           use_ema_weights=use_ema_weights)
  session = tf.Session(config=config)
  tf.train.Saver(stored).restore(session, checkpoint)
  return session


def decoded_batch(encoded, preprocess):
  """Return the images, [batch, height, width, channels], of a batch of encoded bytes."""
  function = tf.function(
      lambda image: preprocess(_without_palette(image)), autograph=False).get_concrete_function(
          tf.TensorSpec([], tf.string))
  return tf.map_fn(function, encoded, fn_output_signature=function.outputs[0].dtype)


def _remove(directory):
  if tf.io.gfile.exists(directory):
    tf.io.gfile.rmtree(directory)


def export(encoded, logits, *, checkpoint, export_dir, labels_offset=0, config=None,
           use_ema_weights=False):
  """Write a SavedModel from encoded images to probabilities.

  Its signature `serving_default` takes 'images', a string tensor [batch] of encoded JPEG,
  PNG, GIF or BMP bytes (no BMP with a palette), and returns 'probabilities', float32
  [batch, classes], and 'classes', int64 [batch], the likeliest classes as labels of the data.

  Args:
    encoded: the placeholder of the images.
    logits: float32 [batch, classes].
    checkpoint: string, path of the checkpoint with the network's variables.
    export_dir: string, a directory that does not exist yet.
    labels_offset: int, class k of the network has the label k + labels_offset.
    config: tf.ConfigProto.
    use_ema_weights: bool, see checkpoint_utils.stored_names().

  Returns:
    string, the path of the SavedModel.

  Raises:
    FileExistsError: `export_dir` exists.
    ValueError: the checkpoint does not fit the network.
  """
  if tf.io.gfile.exists(export_dir):
    raise FileExistsError(f'{export_dir} exists: move it away, or choose another --output_dir')
  outputs = {'probabilities': tf.nn.softmax(logits),
             'classes': tf.argmax(logits, axis=1) + labels_offset}
  with restored_session(checkpoint, config, use_ema_weights=use_ema_weights) as session:
    partial = export_dir + '.partial'
    _remove(partial)
    try:
      tf.saved_model.simple_save(session, partial, inputs={'images': encoded}, outputs=outputs)
    except tf.errors.OpError:
      _remove(partial)  # It may have filled the disk.
      raise
  tf.io.gfile.rename(partial, export_dir)
  return export_dir if '://' in export_dir else os.path.abspath(export_dir)
