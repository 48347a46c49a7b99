"""Turns records into images by groups; undecodable images are named, counted and left out.

An element is a dict with 'image', 'label' and 'kept' (the index within the group) of the images
that could be decoded; 'place' of all records of the group; and 'bad', how many could not be
decoded. count_bad() adds 'skipped', how many could not be decoded so far in total, and 'allowed',
how many may be undecodable by then.
"""
import sys

import numpy as np

from images.utils.tf1 import tf


def preparer(parse_fn, preprocessing_fn, *, image_size, num_classes, seed, labels_offset):
  """Return a function from a group of records to an element.

  The function takes places, int64 [n], and a tuple (paths, numbers, records), which are string,
  int64 and string tensors [n]. If parse_fn has an attribute `features`, as tfrecord.parse_example()
  does, a record that lacks one of them is an error and is not skipped. See
  dataset_utils.training_iterator() for the arguments.
  """
  features = getattr(parse_fn, 'features', {})

  def to_image(number, place, record):
    image, label = parse_fn(record)
    image = preprocessing_fn(image, image_size, image_size, seed=tf.stack([seed, place]))
    _check_shapes(image.shape, label.shape, image_size)
    return image, tf.ensure_shape(label, []), number

  def all_at_once(*group):
    return _for_each(to_image, group)

  def one_by_one(*group):
    return _good_batch(tf.data.Dataset.from_tensor_slices(group).map(to_image))

  def prepare(places, origins):
    paths, numbers, records = origins
    every = tf.range(tf.size(places))
    group = tf.data.Dataset.from_tensors((every, places, records))
    # A graph has no `try`: if the group fails as a whole, that result is dropped, and the first one
    # left is that of one_by_one().
    tries = group.map(all_at_once).ignore_errors().concatenate(group.map(one_by_one))
    image, label, kept = tries.take(1).get_single_element()
    label = tf.cast(label, tf.int64) - labels_offset
    bad, _ = tf.raw_ops.ListDiff(x=every, y=kept)
    with tf.control_dependencies([
        _report_bad(*(tf.gather(x, bad) for x in (paths, numbers, records)), features),
        _check_labels(label, num_classes, tf.gather(paths, kept))]):
      return {'image': tf.identity(image), 'label': label, 'kept': kept, 'place': places,
              'bad': tf.size(bad, out_type=tf.int64)}

  return prepare


def _check_shapes(of_image, of_label, size):
  """Raise ValueError unless an image has `size` pixels a side, and its label is a scalar."""
  if not (of_image.is_fully_defined() and of_image.is_compatible_with([size, size, None])):
    raise ValueError(f'the preprocessing returns images of shape {of_image}, not [{size}, {size}, '
                     'channels] (--preprocessing_name); if a size is unknown, decode with '
                     'channels=3, resize, or set it with set_shape()')
  if of_label.rank:  # The accuracies would be silently wrong.
    raise ValueError(f'parse_fn returns labels of shape {of_label}, but has to return scalars: '
                     'parse them with tf.FixedLenFeature((), tf.int64)')


def _for_each(function, arguments):
  """Return `function` of each of n elements of `arguments`, in parallel, as tensors [n, ...]."""
  function = tf.function(function, autograph=False).get_concrete_function(
      *(tf.TensorSpec(argument.shape[1:], argument.dtype) for argument in arguments))
  return tuple(tf.raw_ops.MapDefun(
      arguments=arguments, captured_inputs=function.captured_inputs, f=function,
      output_types=[output.dtype for output in function.outputs],
      output_shapes=[output.shape for output in function.outputs],
      max_intra_op_parallelism=1))


def _good_batch(dataset):
  """Return the elements of `dataset` that do not fail, as tensors [n, ...]; n may be 0."""
  batches = dataset.ignore_errors(log_warning=True).batch(sys.maxsize)
  none = tf.nest.map_structure(lambda spec: tf.zeros([0, *spec.shape[1:]], spec.dtype),
                               batches.element_spec)
  return batches.concatenate(tf.data.Dataset.from_tensors(none)).take(1).get_single_element()


def _report_bad(paths, numbers, records, features):
  """Print which images cannot be decoded; fail if one of the records lacks a feature."""
  features = {key: tf.VarLenFeature(feature.dtype) for key, feature in features.items()}

  def report(origin):
    path, number, record = origin
    found = tf.parse_single_example(record, features) if features else {}
    checks = [tf.debugging.Assert(tf.size(found[key].values) > 0,
                                  [f'a record has no {key}: record', number, 'of', path])
              for key in features]
    with tf.control_dependencies(checks):
      line = tf.print('skipped an undecodable image: record', number, 'of', path,
                      output_stream=sys.stderr)
    with tf.control_dependencies([line]):
      return tf.identity(number)

  return tf.cond(tf.size(numbers) > 0,
                 lambda: tf.map_fn(report, (paths, numbers, records), tf.int64).op, tf.no_op)


def _check_labels(labels, num_classes, paths):
  """Fail if a label, int64 [n], is outside of the classes; the error names its file."""
  outside = tf.reshape(tf.where((labels < 0) | (labels >= num_classes)), [-1])[:1]
  return tf.debugging.Assert(
      tf.equal(tf.size(outside), 0),
      ['label', tf.gather(labels, outside), f'is outside [0, {num_classes}): set --num_classes, or '
       '--labels_offset if the labels of the data do not start at 0 (1 if they start at 1), or '
       'convert the data again; file', tf.gather(paths, outside)])


def count_bad(dataset, *, max_bad_fraction, records, position=0):
  """Add 'skipped' and 'allowed' to the elements; fail if too many images of an epoch are bad.

  Args:
    dataset: tf.data.Dataset of elements, see the top of this module.
    max_bad_fraction: float, the fraction of the records that may be bad in each epoch begun. One
      rank may have all of these; the total over all ranks is checked elsewhere.
    records: int, the number of records in an epoch, over all ranks.
    position: int, the place at which the dataset begins.
  """
  def count(skipped, element):
    skipped += element['bad']
    epochs = element['place'][-1] // records - position // records + 1
    allowed = allowed_bad(max_bad_fraction, records) * epochs
    with tf.control_dependencies([check_bad(skipped, allowed)]):
      return skipped, {**element, 'skipped': tf.identity(skipped), 'allowed': allowed}

  return dataset.scan(np.int64(0), count)


def allowed_bad(max_bad_fraction, records):
  """Return how many records of an epoch may be bad, an int; never all, as it would not end then."""
  allowed = int(max_bad_fraction * records + 1e-6)  # 0.29 x 100 is a little less than 29.
  return min(allowed, records - 1)


def check_bad(skipped, allowed):
  """Return an operation that fails if more images are `skipped` than `allowed`, int64 scalars."""
  return tf.debugging.Assert(
      skipped <= allowed, ['undecodable images:', skipped, 'so far, more than the', allowed,
                           'that --max_bad_fraction allows in the epochs begun; each is named '
                           'above, where warnings of TensorFlow say why (hidden if '
                           'TF_CPP_MIN_LOG_LEVEL is above 1)'])


def good_ones(element):
  """Return the images of an element, as a dict of 'image', 'label', 'place', 'skipped', 'allowed'.

  'skipped' counts the bad ones before each image, and so does not depend on the group.
  """
  kept = element['kept']
  bad_before = tf.cast(kept - tf.range(tf.size(kept)), tf.int64)
  return {'image': element['image'], 'label': element['label'],
          'place': tf.gather(element['place'], kept),
          'skipped': element['skipped'] - element['bad'] + bad_before,
          'allowed': tf.fill(tf.shape(kept), element['allowed'])}


def with_bad_ones(element):
  """Return 'image', 'label' and 'good' of all records; bad images are black and of class 0."""
  kept, size = element['kept'], tf.size(element['place'])

  def spread(values):
    shape = tf.concat([[size], tf.shape(values)[1:]], axis=0)
    return tf.ensure_shape(tf.scatter_nd(kept[:, None], values, shape),
                           [None, *values.shape[1:]])

  return {'image': spread(element['image']), 'label': spread(element['label']),
          'good': spread(tf.ones_like(kept)) > 0}
