"""Measures how fast training images are prepared, against a limit and against the old way.

  python scripts/benchmark_input.py --dataset_name=flowers --dataset_dir=/tmp/data/flowers

Four pipelines make batches of the same photos with the same number of threads; nothing is trained:

  pipeline    the training input of this project: files, shuffling, VGG preprocessing except for
              the mean, which the device subtracts
  cached      the same with --datasets_use_caching: files are read once
  limit       only decoding a random crop of a JPEG in memory, and resizing it
  whole       files, shuffling, decoding and resizing whole photos, cropping, mirroring, minus mean

They take turns of a few seconds, in a new random order in each round, so that other load on the
machine affects them alike. Each turn is a new process, which inherits no memory from another;
besides, a process may be faster or slower than others for as long as it lives.
"""
import functools
import multiprocessing
import pathlib
import random
import statistics
import sys
import time
from concurrent import futures

from absl import app, flags

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from images.datasets import dataset_factory  # noqa: E402
from images.preprocessing import image_ops, preprocessing_factory, vgg_preprocessing  # noqa: E402
from images.utils import device_utils  # noqa: E402
from images.utils.tf1 import tf  # noqa: E402

# Seconds at the start of a turn that do not count: caches fill, and memory is allocated.
WARM_UP = 3


def main(argv):
  """Measure and print a table."""
  if len(argv) > 1:
    raise app.UsageError(f'unexpected arguments {argv[1:]}')
  check_photos()
  speeds = {name: [] for name in PIPELINES}
  for _ in range(flags.FLAGS.rounds):
    for name in random.sample(list(speeds), len(speeds)):
      speeds[name].append(in_new_process(measure, name, sys.argv))
  print_table(speeds)


def check_photos():
  """Raise ValueError if the data set has no JPEG, before processes wait for one."""
  values = flags.FLAGS
  with tf.Graph().as_default(), tf.Session() as session:
    sources = dataset_factory.get_data_sources(values.dataset_name, values.dataset_dir)
    photo = tf.data.make_one_shot_iterator(encoded_photos(sources)).get_next()
    try:
      session.run(photo)
    except tf.errors.OutOfRangeError:
      raise ValueError(f'--dataset_name={values.dataset_name} in {values.dataset_dir} has no JPEG: '
                       'name a data set of photos, such as flowers') from None


def in_new_process(function, *arguments):
  """Run `function` in a new process, and return its result."""
  context = multiprocessing.get_context('spawn')
  with futures.ProcessPoolExecutor(1, mp_context=context) as process:
    return process.submit(function, *arguments).result()


def measure(name, argv):
  """Return the images/s of the pipeline `name`, with the flags in `argv`."""
  define_flags()
  flags.FLAGS(argv)
  tf.logging.set_verbosity(tf.logging.ERROR)
  device_utils.set_up(0, 1)  # As in a training run, so that memory is kept from batch to batch.
  sources = dataset_factory.get_data_sources(flags.FLAGS.dataset_name, flags.FLAGS.dataset_dir)
  with tf.Graph().as_default():
    # One value of each image: TensorFlow could infer just their number without making any.
    batch = PIPELINES[name](sources)[:, 0, 0, 0]
    with tf.Session() as session:
      session.run([tf.global_variables_initializer(), tf.tables_initializer()])
      _, speed = [fetch(session, batch, seconds) for seconds in (WARM_UP, flags.FLAGS.seconds)]
  return speed


def fetch(session, batch, seconds):
  """Fetch batches for some seconds, and return the images/s."""
  started, images = time.time(), 0
  while time.time() - started < seconds:
    images += len(session.run(batch))
  return images / (time.time() - started)


def pipeline(sources, **options):
  """Return a batch of the training input; for `options` see dataset_utils.training_iterator()."""
  values = flags.FLAGS
  return dataset_factory.get_dataset_iterator(
      values.dataset_name, values.image_size,
      preprocessing_factory.get_halves('resnet_v1_50', is_training=True)[0], sources,
      num_classes=10**6, batch_size=values.batch_size, seed=1, prefetch_buffer_size=2,
      num_preprocessing_threads=values.threads, **options).get_next()[0]


def in_memory(sources):
  """Return an endless data set of the encoded photos, which are read once."""
  return encoded_photos(sources).cache().repeat()


def from_files(sources):
  """Return an endless data set of the encoded photos, read and shuffled for each epoch."""
  return encoded_photos(sources).shuffle(1024).repeat()


def encoded_photos(sources):
  """Return a data set of the JPEGs of one epoch, scalar strings."""
  parse = dataset_factory.datasets_map[flags.FLAGS.dataset_name].parse_fn
  dataset = tf.data.TFRecordDataset(sources.files).map(lambda record: parse(record)[0])
  return dataset.filter(tf.io.is_jpeg)


def prepared(sources, *, read, prepare):
  """Return a batch of the photos that `read` returns, each prepared by `prepare`."""
  values = flags.FLAGS
  dataset = read(sources).map(prepare, num_parallel_calls=8 * values.batch_size)
  options = tf.data.Options()
  options.threading.private_threadpool_size = values.threads
  options.threading.max_intra_op_parallelism = 1
  dataset = dataset.batch(values.batch_size).prefetch(2).with_options(options)
  iterator = tf.data.make_initializable_iterator(dataset)
  tf.add_to_collection(tf.GraphKeys.TABLE_INITIALIZERS, iterator.initializer)
  return iterator.get_next()


def crop_and_resize(image):
  """Decode the crop that VGG training takes, and resize it; nothing else."""
  target = flags.FLAGS.image_size
  size = tf.io.extract_jpeg_shape(image)[:2]
  side = tf.random.uniform([], 256, 513, tf.int32)
  part = tf.cast(tf.reduce_min(size), tf.float32) * target / tf.cast(side, tf.float32)
  extent = tf.cast(tf.stack([part, part]), tf.int32)
  window = image_ops.random_window(size, extent, draw=tf.random.uniform([2]))
  pixels = tf.image.decode_and_crop_jpeg(image, window, channels=3)
  return image_ops.resize(pixels, target, target)


def resize_and_crop(image):
  """Prepare a photo as the library of 2019 did: all of it is decoded and resized."""
  target = flags.FLAGS.image_size
  side = tf.random.uniform([], 256, 513, tf.int32)
  image = image_ops.resize_smaller_side(tf.image.decode_jpeg(image, channels=3), side)
  image = tf.image.random_crop(image, [target, target, 3])
  return tf.image.random_flip_left_right(image) - tf.constant(vgg_preprocessing.MEAN_RGB)


PIPELINES = {
    'pipeline': pipeline,
    'cached': functools.partial(pipeline, datasets_use_caching=True),
    'limit': functools.partial(prepared, read=in_memory, prepare=crop_and_resize),
    'whole': functools.partial(prepared, read=from_files, prepare=resize_and_crop),
}


def print_table(speeds):
  """Print the median and spread of each pipeline's images/s, and how they compare."""
  medians = {name: statistics.median(found) for name, found in speeds.items()}
  print('| what | images/s | lowest to highest | of the limit | vs. whole photos |')
  print('| --- | --- | --- | --- | --- |')
  for name, median in medians.items():
    print(f'| {name} | {median:.0f} | {min(speeds[name]):.0f} to {max(speeds[name]):.0f} | '
          f'{median / medians["limit"]:.2f} | {median / medians["whole"]:.2f} |')


def define_flags():
  """Define the flags of this script."""
  flags.DEFINE_enum('dataset_name', 'flowers', sorted(dataset_factory.datasets_map),
                    'Data set of JPEG photos.')
  flags.DEFINE_string('dataset_dir', None, 'Directory of its TFRecord files.', required=True)
  flags.DEFINE_integer('image_size', 224, 'Pixels.', lower_bound=1)
  flags.DEFINE_integer('batch_size', 32, 'Images in a batch.', lower_bound=1)
  flags.DEFINE_integer('threads', 2, 'Threads that prepare images.', lower_bound=1)
  flags.DEFINE_integer('seconds', 8, 'Seconds of a turn that count.',
                       lower_bound=1)
  flags.DEFINE_integer('rounds', 3, 'Turns of each pipeline.', lower_bound=1)


if __name__ == '__main__':
  define_flags()
  app.run(main)
