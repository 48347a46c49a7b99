"""TFRecord files to batches: which rank reads what in which order, and the pipeline.

Training reads an endless stream of epochs. What a rank reads in an epoch, and in which
order, is a function of (seed, epoch) only, and every random distortion one of (seed,
place in the stream): a run that is resumed at a place goes on as if never interrupted.
"""
import collections
import sys

import numpy as np

from images.utils import cluster_utils
from images.utils.tf1 import tf

# Files that are read at the same time, and records taken from one before the next.
_INTERLEAVED_FILES = 4
_INTERLEAVED_RECORDS = 16

# What a rank reads in an epoch: `files`, indices in their order; of their records those
# at `index` modulo `num_shards`, which makes `records`; and the seed of their shuffling.
EpochShare = collections.namedtuple(
    'EpochShare', ['files', 'num_shards', 'index', 'records', 'shuffle_seed'])


def epoch_share(epoch, counts, *, rank, size, seed, fixed=False):
  """Return the EpochShare of a rank; the shares of all ranks partition the records.

  Whole files where their number divides evenly between the ranks. Otherwise records: of
  the stream of all epochs, each rank takes every size-th, so that no rank is ever more
  than one record ahead of another.

  Args:
    epoch: int, counted from 0.
    counts: list of ints, the number of records in each file.
    rank: int in [0, size).
    size: int, the number of ranks.
    seed: int, the seed of the run.
    fixed: bool, whether the rank reads the same records, in files order, in every epoch.
  """
  random = np.random.RandomState([seed % 2 ** 32, epoch])
  files = np.arange(len(counts)) if fixed else random.permutation(len(counts))
  shuffle_seed = random.randint(1, 2 ** 31)
  if len(counts) % size == 0:
    files = files[rank::size]
    return EpochShare(files, 1, 0, sum(counts[i] for i in files), shuffle_seed)
  total = sum(counts)
  index = (rank - (0 if fixed else epoch) * total) % size
  return EpochShare(files, size, index, max(0, -(-(total - index) // size)), shuffle_seed)


def epochs_from(position, share):
  """Yield the epochs from a place on: (files, num_shards, index, shuffle_seed, skip).

  Args:
    position: int, the number of records that this rank has taken before.
    share: function from an epoch to its EpochShare.

  Raises:
    ValueError: the rank has no records at all.
  """
  epoch, empty = 0, 0
  while True:
    this = share(epoch)
    empty = 0 if this.records else empty + 1
    if empty > 100:
      raise ValueError('fewer training records than ranks: start fewer ranks')
    if position < this.records:
      yield (this.files, this.num_shards, this.index, this.shuffle_seed, position)
    position = max(0, position - this.records)
    epoch += 1


class DatasetIterator:
  """Batches of images and labels, and how far into the training data they reach.

  Attributes:
    skipped: scalar int64 tensor after get_next(), the number of undecodable images that
      this rank has skipped since it started; None for mock data.
    wait: scalar float64 tensor after get_next(), the seconds that a step waits for its batch.
  """

  def __init__(self, dataset):
    """Iterate over `dataset` of dicts with 'image' and 'label', and from files 'place' (in
    the stream of all ranks) and 'skipped'."""
    self._iterator = tf.data.make_initializable_iterator(dataset)
    # MonitoredTrainingSession runs this collection when it makes a session.
    tf.add_to_collection(tf.GraphKeys.TABLE_INITIALIZERS, self._iterator.initializer)
    self.skipped = self.wait = None

  def get_next(self):
    """Return a batch: images [batch, height, width, channels], labels [batch] int64.

    The variable `input_position` follows: a checkpoint holds how many records, over all
    ranks, training has taken.
    """
    started = tf.timestamp()
    with tf.control_dependencies([started]):
      batch = self._iterator.get_next()
    with tf.control_dependencies([batch['image']]):
      self.wait = tf.timestamp() - started
    if 'place' not in batch:
      return batch['image'], batch['label']
    self.skipped = tf.reduce_max(batch['skipped'])
    position = tf.get_variable('input_position', [], tf.int64, trainable=False,
                               initializer=tf.zeros_initializer())
    size = cluster_utils.size()
    taken = (tf.reduce_max(batch['place']) // size + 1) * size
    with tf.control_dependencies([position.assign(taken)]):
      return tf.identity(batch['image']), tf.identity(batch['label'])


def mock_iterator(*, image_size, channels=3, num_classes, batch_size, seed):
  """Return a DatasetIterator of one batch of random images and labels, repeated.

  Args:
    image_size: int, height and width in pixels.
    channels: int.
    num_classes: int, labels lie in [0, num_classes).
    batch_size: int.
    seed: int.
  """
  def make_batch(_):
    shape = [batch_size, image_size, image_size, channels]
    return {
        'image': tf.random.stateless_uniform(shape, [seed, 0], -1.0, 1.0),
        'label': tf.random.stateless_uniform([batch_size], [seed, 1], 0, num_classes, tf.int64),
    }
  return DatasetIterator(tf.data.Dataset.range(1).map(make_batch).cache().repeat())


def training_iterator(files, counts, parse_fn, preprocessing_fn, *, image_size, num_classes,
                      batch_size, seed, position=0, shuffle_buffer_size=1024,
                      num_parallel_batches=8, prefetch_buffer_size=32,
                      num_preprocessing_threads=16, datasets_use_caching=False,
                      max_bad_fraction=0.01, labels_offset=0):
  """Return the endless DatasetIterator of this rank's training batches.

  Args:
    files: list of strings, paths of TFRecord files.
    counts: list of ints, the number of records in each.
    parse_fn: function from a record, a scalar string tensor, to (image, label).
    preprocessing_fn: function (image, height, width, seed) to a float image.
    image_size: int, height and width of the images in pixels.
    num_classes: int, labels lie in [0, num_classes).
    batch_size: int, images of a batch of one rank.
    seed: int, the seed of order and distortions.
    position: int, the number of records, over all ranks, taken before.
    max_bad_fraction: float, the fraction of an epoch that may be undecodable.
    labels_offset: int, subtracted from the labels.
    The others: as the flags of the same names.
  """
  size, rank = cluster_utils.size(), cluster_utils.rank()
  def share(epoch):
    return epoch_share(epoch, counts, rank=rank, size=size, seed=seed,
                       fixed=datasets_use_caching)

  taken = position // size
  records = _epochs(files, share, taken, shuffle_buffer_size=shuffle_buffer_size,
                    caching=datasets_use_caching)
  prepare = _preparer(parse_fn, preprocessing_fn, image_size=image_size,
                      num_classes=num_classes, seed=seed, labels_offset=labels_offset)
  dataset = records.enumerate(start=taken)
  dataset = dataset.map(
      lambda taken, record: prepare(taken * size + rank, *record),
      num_parallel_calls=num_parallel_batches * batch_size)
  dataset = _count_bad(dataset, max_bad_fraction, max(1, sum(counts) // size))
  dataset = dataset.filter(lambda element: element['good'])
  dataset = dataset.batch(batch_size, drop_remainder=True).prefetch(prefetch_buffer_size)
  return DatasetIterator(dataset.with_options(_options(num_preprocessing_threads)))


def evaluation_iterator(files, parse_fn, preprocessing_fn, *, image_size, num_classes,
                        batch_size, num_preprocessing_threads=16, max_bad_fraction=0.01,
                        labels_offset=0, num_records):
  """Return a tf.data iterator over this rank's share, each image once, in files order.

  The last batch may be smaller. An element is a dict with 'image', 'label' and 'good', a
  bool that is False for each undecodable image, which is black and of class 0. Arguments
  as those of training_iterator(), and `num_records`, the number of records in all files.
  """
  size = cluster_utils.size()
  prepare = _preparer(parse_fn, preprocessing_fn, image_size=image_size,
                      num_classes=num_classes, seed=0, labels_offset=labels_offset)
  dataset = _records(tf.constant(files)).shard(size, cluster_utils.rank()).enumerate()
  dataset = dataset.map(lambda place, record: prepare(place, *record),
                        num_parallel_calls=tf.data.AUTOTUNE)
  dataset = _count_bad(dataset, max_bad_fraction, max(1, num_records // size))
  dataset = dataset.batch(batch_size).prefetch(tf.data.AUTOTUNE)
  return tf.data.make_initializable_iterator(
      dataset.with_options(_options(num_preprocessing_threads)))


def _records(files):
  """Return a dataset of (file name, number in the file, record) of interleaved files."""
  def read(name):
    # Zipping calls no function for each record, as mapping would.
    return tf.data.Dataset.zip((tf.data.Dataset.from_tensors(name).repeat(),
                                tf.data.Dataset.range(sys.maxsize),
                                tf.data.TFRecordDataset(name)))
  return tf.data.Dataset.from_tensor_slices(files).interleave(
      read, cycle_length=_INTERLEAVED_FILES, block_length=_INTERLEAVED_RECORDS,
      num_parallel_calls=tf.data.AUTOTUNE)


def _epochs(files, share, position, *, shuffle_buffer_size, caching):
  """Return the endless dataset of this rank's records from `position` on."""
  files = tf.constant(files)

  def read(indices, num_shards, index):
    return _records(tf.gather(files, indices)).shard(num_shards, index)

  # The dataset in memory has to be made outside of read_epoch() to outlive an epoch.
  first = share(0)
  cached = read(first.files, first.num_shards, first.index).cache() if caching else None

  def read_epoch(indices, num_shards, index, shuffle_seed, skip):
    records = cached if caching else read(indices, num_shards, index)
    return records.shuffle(shuffle_buffer_size, seed=shuffle_seed).skip(skip)

  scalar = tf.TensorSpec([], tf.int64)
  return tf.data.Dataset.from_generator(
      lambda: epochs_from(position, share),
      output_signature=(tf.TensorSpec([None], tf.int64), scalar, scalar, scalar, scalar),
  ).flat_map(read_epoch)


def _preparer(parse_fn, preprocessing_fn, *, image_size, num_classes, seed, labels_offset):
  """Return a function (place, file name, number, record) to a dict with the image."""
  def to_image(record, image_seed):
    image, label = parse_fn(record)
    image = preprocessing_fn(image, image_size, image_size, seed=image_seed)
    return image, tf.cast(label, tf.int64) - labels_offset, True

  def prepare(place, name, number, record):
    attempt = tf.data.Dataset.from_tensors((record, tf.stack([seed, place]))).map(to_image)
    failure = tf.nest.map_structure(lambda spec: tf.zeros(spec.shape, spec.dtype),
                                    attempt.element_spec)
    # The graph has no try: an attempt that fails is an empty dataset, then comes failure.
    attempt = attempt.ignore_errors().concatenate(
        tf.data.Dataset.from_tensors(failure)).take(1)
    image, label, good = tf.data.experimental.get_single_element(attempt)
    with tf.control_dependencies([
        tf.cond(good, tf.no_op, lambda: _report_bad(name, number, record)),
        _check_label(label, num_classes, name)]):
      return {'image': tf.identity(image), 'label': label, 'good': good, 'place': place}

  return prepare


def _report_bad(name, number, record):
  """Name the record whose image cannot be decoded; fail if it holds no image or label."""
  keys = {'image/encoded': tf.VarLenFeature(tf.string),
          'image/class/label': tf.VarLenFeature(tf.int64)}
  features = tf.parse_single_example(record, keys)
  checks = [tf.debugging.Assert(tf.size(features[key].values) > 0,
                                [f'a record has no {key}: record', number, 'of', name])
            for key in keys]
  with tf.control_dependencies(checks):
    return tf.print('skipped an undecodable image: record', number, 'of', name,
                    output_stream=sys.stderr)


def _check_label(label, num_classes, name):
  return tf.debugging.Assert(
      (label >= 0) & (label < num_classes),
      ['label', label, f'is outside [0, {num_classes}): set --num_classes, or if it is negative '
       '--labels_offset, or convert the data again; file', name])


def _count_bad(dataset, max_bad_fraction, records_per_epoch):
  """Count the elements that are not good, in 'skipped'; fail if they are too many."""
  def count(state, element):
    seen, skipped = state[0] + 1, state[1] + tf.cast(~element['good'], tf.int64)
    limit = max_bad_fraction * tf.cast(tf.maximum(seen, records_per_epoch), tf.float32)
    too_many = tf.debugging.Assert(
        tf.cast(skipped, tf.float32) <= limit,
        ['undecodable images:', skipped, 'of', seen, 'records read, more than the fraction '
         f'{max_bad_fraction} of an epoch that --max_bad_fraction allows'])
    with tf.control_dependencies([too_many]):
      return tf.stack([seen, skipped]), {**element, 'skipped': tf.identity(skipped)}

  return dataset.scan(np.zeros([2], np.int64), count)


def _options(num_preprocessing_threads):
  options = tf.data.Options()
  options.deterministic = True
  options.threading.private_threadpool_size = num_preprocessing_threads
  # Images are prepared many at a time: threads within one operation would only wait.
  options.threading.max_intra_op_parallelism = 1
  return options
