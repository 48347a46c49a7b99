"""Turns TFRecord files into batches of images.

Training reads an endless stream of epochs. What a rank reads in an epoch, and in which
order, is a function of (seed, epoch) only, and every random distortion is a function of (seed,
place in the stream): a resumed run continues as if it had never been interrupted.
"""
import itertools
import sys

from images.utils import (
    cluster_utils,
    device_utils,
    position_utils,
    preparation_utils,
    record_utils,
    share_utils,
    stall_utils,
)
from images.utils.tf1 import tf


class DatasetIterator:
  """Batches of images and labels, and how far they reach into the training data.

  Attributes:
    skipped: scalar int64 tensor after get_next(), the number of undecodable images that
      this rank has skipped since it started; None for mock data.
    allowed: scalar int64 tensor after get_next(), how many all ranks together may have skipped;
      None for mock data.
    wait: scalar float64 tensor after get_next(), the seconds that a step waits for its batch:
      from the step's beginning until the batch was prepared; 0 for mock data.
    place: scalar int64 tensor after get_next(), the place of the batch's last record in the
      stream of all ranks; for mock data the number of the step times the number of ranks, plus
      the rank.
  """

  def __init__(self, dataset, start=None, restored=None):
    """Iterate over a data set. On a GPU, the next batch is copied to it during the current step.

    Args:
      dataset: tf.data.Dataset of dicts with 'image' and 'label'; from files also 'place' (in the
        stream of all ranks), 'skipped', 'allowed' and 'ready' (a timestamp).
      start: position to read from, for the current ranks; None for mock data.
      restored: the same position as it is in the checkpoint, perhaps for another number of ranks.
    """
    self._start, self._restored = start, restored or start
    self._device = device_utils.accelerator() or '/cpu:0'
    if device_utils.accelerator():
      dataset = dataset.apply(tf.data.experimental.prefetch_to_device(self._device, 1))
    with tf.device(self._device):
      self._iterator = tf.data.make_initializable_iterator(dataset)
    # MonitoredTrainingSession runs this collection when it makes a session.
    tf.add_to_collection(tf.GraphKeys.TABLE_INITIALIZERS, self._iterator.initializer)
    self.skipped = self.allowed = self.wait = self.place = None

  def get_next(self):
    """Return the tensors of a batch, (images, labels); call this once.

    Images are [batch, height, width, channels], float32 or uint8 as the preprocessing makes them;
    labels are int64 [batch].
    """
    started = tf.timestamp()
    with tf.control_dependencies([started]), tf.device(self._device):
      batch = self._iterator.get_next()
    if 'place' not in batch:
      self.wait = tf.constant(0.0, tf.float64)
      self.place = (tf.train.get_or_create_global_step() * cluster_utils.size()
                    + cluster_utils.rank())
      return batch['image'], batch['label']
    # The clock is not read again here: with a single thread, other operations may run before that.
    self.wait = tf.maximum(batch['ready'] - started, 0.0)
    self.skipped, self.allowed = tf.reduce_max(batch['skipped']), tf.reduce_max(batch['allowed'])
    self.place = tf.reduce_max(batch['place'])
    # A rank whose files hang has passed fewer milestones than those that wait for it.
    with tf.control_dependencies([self.place]), tf.device('/cpu:0'):
      reached = tf.numpy_function(stall_utils.pass_milestone, [], [])
    with tf.control_dependencies([reached]), tf.device(self._device):
      return batch['image'], tf.identity(batch['label'])

  def follow(self, skipped):
    """Return an operation that writes the position after the batch into `input_position`.

    This int64 variable [launches, ranks] makes checkpoints hold how many records each rank has
    taken; see position_utils.

    Args:
      skipped: integer tensor [ranks], the `skipped` of each rank.
    """
    *before, start = position_utils.to_matrix(self._start)
    size, rank = cluster_utils.size(), cluster_utils.rank()
    # Batches have the same size on all ranks; only the numbers of skipped images differ.
    with tf.device('/cpu:0'):
      used = self.place // size + 1 - start[rank] - self.skipped
      taken = start[:size] + used + tf.cast(skipped, tf.int64)
      taken = tf.pad(taken, [[0, len(start) - size]], constant_values=-1)
      # It has the shape that the chief restores and broadcasts on all ranks.
      position = tf.Variable(position_utils.to_matrix(self._restored), trainable=False,
                             name='input_position', shape=[None, None])
      return position.assign([*before, taken]).op


def mock_iterator(preprocessing_fn, *, image_size, num_classes, batch_size, seed):
  """Return a DatasetIterator that repeats one batch of random images and labels.

  Args:
    preprocessing_fn: function (image, height, width, seed) to an image of that size.
    image_size: int, height and width in pixels.
    num_classes: int, labels lie in [0, num_classes).
    batch_size: int.
    seed: int.
  """
  def make_example(number):
    draws = tf.stack([seed, number])
    pixels = tf.random.stateless_uniform([image_size, image_size, 3], draws, 0, 256, tf.int32)
    image = preprocessing_fn(tf.cast(pixels, tf.uint8), image_size, image_size, seed=draws)
    label = tf.random.stateless_uniform([], draws, 0, num_classes, tf.int64)
    return {'image': image, 'label': label}

  dataset = tf.data.Dataset.range(batch_size).map(make_example)
  dataset = dataset.batch(batch_size, drop_remainder=True).cache().repeat()
  return DatasetIterator(dataset.with_options(options(num_preprocessing_threads=1)))


def training_iterator(files, counts, parse_fn, preprocessing_fn, *, image_size, num_classes,
                      batch_size, seed, position=(), shuffle_buffer_size=1024,
                      num_parallel_batches=8, prefetch_buffer_size=32,
                      num_preprocessing_threads=16, datasets_use_caching=False,
                      max_bad_fraction=0.01, labels_offset=0):
  """Return the endless DatasetIterator of this rank's training batches.

  Args:
    files: list of strings, paths of TFRecord files.
    counts: list of ints, the number of records in each.
    parse_fn: function from a record, a scalar string tensor, to (image, label).
    preprocessing_fn: function (image, height, width, seed) to an image of that size.
    image_size: int, height and width of the images in pixels.
    num_classes: int, labels lie in [0, num_classes).
    batch_size: int, images in a batch of one rank.
    seed: int, the seed of the order and the distortions.
    position: where in the data to begin, as position_utils describes it; [] for a new run.
    max_bad_fraction: float, the fraction of an epoch that may be undecodable.
    labels_offset: int, subtracted from the labels.
    The others: see the flags of the same names.
  """
  size, rank = cluster_utils.size(), cluster_utils.rank()
  course = position_utils.Course(counts, seed=seed, fixed=datasets_use_caching)
  start = course.for_ranks(position, size)
  taken = start[-1][rank]
  # A larger buffer would never be full, yet TensorFlow allocates it.
  records = _in_course(files, course, start, caching=datasets_use_caching,
                       shuffle_buffer_size=min(shuffle_buffer_size, sum(counts)))
  places = tf.data.Dataset.range(taken * size + rank, sys.maxsize, size)
  dataset = tf.data.Dataset.zip((places, records)).batch(batch_size, drop_remainder=True)
  # The records read ahead bridge the time in which the next epoch's shuffle buffer fills.
  dataset = dataset.prefetch(num_parallel_batches)
  prepare = preparation_utils.preparer(
      parse_fn, preprocessing_fn, image_size=image_size, num_classes=num_classes, seed=seed,
      labels_offset=labels_offset)
  dataset = dataset.map(prepare, num_parallel_calls=min(num_parallel_batches,
                                                        num_preprocessing_threads))
  dataset = preparation_utils.count_bad(
      dataset, max_bad_fraction=max_bad_fraction, records=sum(counts), position=taken * size)
  dataset = dataset.map(preparation_utils.good_ones)
  dataset = dataset.rebatch(batch_size, drop_remainder=True)
  dataset = dataset.map(lambda batch: {**batch, 'ready': tf.timestamp()})
  dataset = dataset.prefetch(prefetch_buffer_size)
  return DatasetIterator(dataset.with_options(options(num_preprocessing_threads)), start, position)


def evaluation_iterator(files, counts, parse_fn, preprocessing_fn, *, image_size, num_classes,
                        batch_size, num_parallel_batches=8, num_preprocessing_threads=16,
                        max_bad_fraction=0.01, labels_offset=0):
  """Return a tf.data iterator over this rank's share, each image once, in files order.

  The last batch may be smaller. An element is a dict with 'image', 'label' and 'good', a
  bool that is False for each undecodable image, which is black and of class 0. See
  training_iterator() for the arguments.
  """
  size = cluster_utils.size()
  share = share_utils.epoch_share(0, counts, rank=cluster_utils.rank(), size=size, seed=0,
                                  fixed=True)
  places = tf.data.Dataset.range(sys.maxsize)
  dataset = tf.data.Dataset.zip((places, record_utils.interleave(
      tf.gather(files, share.files), share.first, share.last))).batch(batch_size)
  prepare = preparation_utils.preparer(
      parse_fn, preprocessing_fn, image_size=image_size, num_classes=num_classes, seed=0,
      labels_offset=labels_offset)
  dataset = dataset.map(prepare, num_parallel_calls=min(num_parallel_batches,
                                                        num_preprocessing_threads))
  dataset = preparation_utils.count_bad(
      dataset, max_bad_fraction=max_bad_fraction, records=sum(counts))
  dataset = dataset.map(preparation_utils.with_bad_ones).prefetch(2)
  return tf.data.make_initializable_iterator(
      dataset.with_options(options(num_preprocessing_threads)))


def _in_course(files, course, start, *, shuffle_buffer_size, caching):
  """Return the endless dataset of this rank's records from the position `start` on."""
  files, rank = tf.constant(files), cluster_utils.rank()

  def read(indices, first, last):
    return record_utils.interleave(tf.gather(files, indices), first, last)

  def read_pieces(pieces, records=None):
    """Return the dataset of the records of `pieces`, a function without arguments."""
    def read_piece(indices, first, last, shuffle_seed, skip, take):
      whole = read(indices, first, last) if records is None else records
      left = whole.shuffle(shuffle_buffer_size, seed=shuffle_seed).skip(skip)
      # A cache is complete only once it has been read to its end, before which take() would stop.
      return left.take(take) if records is None else left

    vector, scalar = tf.TensorSpec([None], tf.int64), tf.TensorSpec([], tf.int64)
    return tf.data.Dataset.from_generator(
        lambda: ((*piece.share, piece.skip, piece.take) for piece in pieces()),
        output_signature=(vector, vector, vector, scalar, scalar, scalar)).flat_map(read_piece)

  if not caching:
    return read_pieces(lambda: itertools.chain(course.rest(start, rank),
                                               course.epochs(start, rank)))
  # The cached dataset has to be created outside of read_piece() to outlive an epoch.
  share = next(course.epochs(start, rank)).share
  cached = read(share.files, share.first, share.last).cache()
  return read_pieces(lambda: course.rest(start, rank)).concatenate(
      read_pieces(lambda: course.epochs(start, rank), cached))


def options(num_preprocessing_threads):
  """Return tf.data.Options for preparing images in order, in a given number of threads."""
  chosen = tf.data.Options()
  chosen.deterministic = True
  # The end of a run would wait for the autotuner, which wakes up only once a minute.
  chosen.autotune.enabled = False
  chosen.threading.private_threadpool_size = num_preprocessing_threads
  # Many images are prepared at the same time: threads within one operation would only wait.
  chosen.threading.max_intra_op_parallelism = 1
  return chosen
