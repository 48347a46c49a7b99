"""Which records come in which order, and what becomes of bad ones."""
import collections
import functools
import importlib
import itertools
import os
import time

import numpy as np
import pytest
from tensorflow.core.framework import dataset_options_pb2

from images.datasets import mnist, tfrecord
from images.preprocessing import cifarnet_preprocessing
from images.utils import (
    cluster_utils,
    dataset_utils,
    device_utils,
    position_utils,
    record_utils,
    stall_utils,
)
from images.utils.tf1 import tf
from tests.datasets import make_data

SIZE = 8  # Pixels of an image on each side.
NUM_CLASSES = 10


def record(number, *, encoded=None, label=None):
  """Return record `number`: an image of that grey value, with the label number % 10."""
  pixels = np.full([SIZE, SIZE, 3], number, np.uint8)
  return tfrecord.make_example(
      make_data.image_bytes(pixels) if encoded is None else encoded,
      number % NUM_CLASSES if label is None else label,
      image_format='png', height=SIZE, width=SIZE, filename=f'{number}.png')


def write(folder, counts, **replaced):
  """Write files of grey images numbered through; `replaced` maps 'r<number>' to a record."""
  numbers = itertools.count()
  paths = []
  for index, count in enumerate(counts):
    records = [replaced.get(f'r{number}', record(number))
               for number in itertools.islice(numbers, count)]
    paths.append(make_data.write_records(folder / f'{index}.tfrecord', records))
  return paths


def grey(image, height, width, seed=None):
  """Return an image as it is: a preprocessing without any."""
  image = tf.cast(tf.image.decode_png(image, channels=3), tf.float32)
  image.set_shape([height, width, 3])
  return image


def noisy(image, height, width, seed=None):
  """Return noise, whatever the image: the least preprocessing that is random."""
  return grey(image, height, width) + tf.random.stateless_uniform([height, width, 3], seed)


cifarnet = functools.partial(cifarnet_preprocessing.preprocess_image, is_training=True)


def read(folder, counts, num_batches, *, preprocessing_fn=grey, between=None, skipped=None,
         **kwargs):
  """Return [(images, labels, skipped, position)] of the first training batches.

  `skipped` has, for each rank, what it is said to have skipped; by default as many as this one.
  """
  arguments = {'image_size': SIZE, 'num_classes': NUM_CLASSES, 'batch_size': 4, 'seed': 3,
               'num_preprocessing_threads': 2, 'num_parallel_batches': 2,
               'prefetch_buffer_size': 2, **kwargs}
  files = [str(folder / f'{index}.tfrecord') for index in range(len(counts))]
  with tf.Graph().as_default(), tf.Session() as session:
    iterator = dataset_utils.training_iterator(files, counts, mnist.parse_fn, preprocessing_fn,
                                               **arguments)
    images, labels = iterator.get_next()
    follow = iterator.follow(tf.fill([cluster_utils.size()], iterator.skipped)
                             if skipped is None else tf.constant(skipped))
    session.run([tf.global_variables_initializer(), tf.tables_initializer()])
    batches = []
    for number in range(num_batches):
      if number and between:
        between(number)
      *batch, _ = session.run([images, labels, iterator.skipped, follow])
      position = session.run(tf.global_variables('input_position')[0])
      batches.append((*batch, position_utils.from_matrix(position)))
    return batches


def numbers_of(batches):
  """Return the numbers of the grey images, in their order."""
  return [int(image[0, 0, 0]) for images, *_ in batches for image in images]


def as_rank(monkeypatch, rank, size):
  monkeypatch.setattr(cluster_utils, 'rank', lambda: rank)
  monkeypatch.setattr(cluster_utils, 'size', lambda: size)


# ---- Training batches ----

@pytest.mark.parametrize('caching', [False, True])
def test_every_record_once_per_epoch_with_its_label(tmp_path, caching):
  counts = [5, 9, 6]
  write(tmp_path, counts)
  batches = read(tmp_path, counts, 15, datasets_use_caching=caching)
  numbers = numbers_of(batches)
  epochs = [numbers[start:start + 20] for start in (0, 20, 40)]
  assert [sorted(epoch) for epoch in epochs] == [list(range(20))] * 3
  assert len({*map(tuple, epochs), tuple(range(20))}) == 4
  labels = [label for _, labels, *_ in batches for label in labels]
  assert labels == [number % NUM_CLASSES for number in numbers]
  assert batches[0][0].shape == (4, SIZE, SIZE, 3)
  assert batches[0][1].dtype == np.int64


def test_the_seed_decides_the_order(tmp_path):
  write(tmp_path, [20])
  first, again, other = (numbers_of(read(tmp_path, [20], 5, seed=seed)) for seed in (3, 3, 4))
  assert first == again
  assert first != other


def test_a_shuffle_buffer_of_one_keeps_the_order(tmp_path):
  write(tmp_path, [8])
  assert numbers_of(read(tmp_path, [8], 4, shuffle_buffer_size=1)) == [*range(8)] * 2


@pytest.mark.parametrize('counts', [[8, 4], [5, 4, 3]])
def test_ranks_share_an_epoch(tmp_path, monkeypatch, counts):
  """Half of it each, wherever in a file that begins and ends."""
  write(tmp_path, counts)
  seen = []
  for rank in range(2):
    as_rank(monkeypatch, rank, 2)
    batches = read(tmp_path, counts, 6, batch_size=1)
    seen += numbers_of(batches)
    assert [position for *_, position in batches] == [[[taken] * 2] for taken in range(1, 7)]
  assert sorted(seen) == list(range(12))


@pytest.mark.parametrize('caching', [False, True])
def test_another_number_of_ranks_reads_what_an_epoch_has_left(tmp_path, monkeypatch, caching):
  counts, seen, position = [5, 9, 6], [], []
  write(tmp_path, counts)
  for size, batches in ((2, 4), (3, 2), (1, 6)):
    for rank in range(size):
      as_rank(monkeypatch, rank, size)
      *_, last = taken = read(tmp_path, counts, batches, batch_size=1, position=position,
                              datasets_use_caching=caching)
      seen += numbers_of(taken)
    position = last[-1]
  assert position == [[4, 4], [5, 5, 4], [20]]
  assert sorted(seen) == list(range(20))


def test_a_position_knows_what_each_rank_has_skipped(tmp_path, monkeypatch):
  """Of two ranks, of which one has the only bad image, and both go on where they were."""
  counts, kwargs = [8, 8], {'batch_size': 2, 'max_bad_fraction': 0.1}
  write(tmp_path, counts, r3=record(3, encoded=b'no image'))
  unbroken = []
  for rank in range(2):
    as_rank(monkeypatch, rank, 2)
    unbroken.append(read(tmp_path, counts, 3, **kwargs))
  skipped = [int(batches[1][2]) for batches in unbroken]
  assert sorted(skipped) == [0, 1]
  for rank in range(2):
    as_rank(monkeypatch, rank, 2)
    *_, last = read(tmp_path, counts, 2, skipped=skipped, **kwargs)
    assert last[-1] == [[4 + skipped[0], 4 + skipped[1]]]
    resumed = read(tmp_path, counts, 1, position=last[-1], **kwargs)
    assert numbers_of(resumed) == numbers_of(unbroken[rank][2:])


def test_ranks_distort_differently(tmp_path, monkeypatch):
  write(tmp_path, [2], r1=record(0))
  images = []
  for rank in range(2):
    as_rank(monkeypatch, rank, 2)
    [(batch, *_)] = read(tmp_path, [2], 1, batch_size=1, preprocessing_fn=noisy)
    images.append(batch[0])
  assert np.all(images[0] != images[1])


def places(iterator, count):
  """Return the places of the first batches, each a run of its own."""
  with tf.Session() as session:
    iterator.get_next()
    session.run([tf.global_variables_initializer(), tf.tables_initializer()])
    return [session.run(iterator.place) for _ in range(count)]


@pytest.mark.parametrize(('rank', 'position', 'expected'), [
    (0, [], [6, 14, 22]), (1, [], [7, 15, 23]), (1, [[4, 4]], [15, 23, 31])])
def test_every_batch_of_every_rank_has_a_place_of_its_own(
    tmp_path, monkeypatch, rank, position, expected):
  write(tmp_path, [9])
  as_rank(monkeypatch, rank, 2)
  with tf.Graph().as_default():
    iterator = dataset_utils.training_iterator(
        [f'{tmp_path}/0.tfrecord'], [9], mnist.parse_fn, grey, image_size=SIZE,
        num_classes=NUM_CLASSES, batch_size=4, seed=3, position=position)
    assert places(iterator, 3) == expected


@pytest.mark.parametrize(('caching', 'preprocessing_fn'), [(False, cifarnet), (True, noisy)])
def test_resuming_gives_the_batches_of_an_unbroken_run(tmp_path, caching, preprocessing_fn):
  """Bit for bit, random distortions and all, within an epoch and at its end."""
  counts = [5, 7]
  write(tmp_path, counts, **{
      f'r{k}': record(k, encoded=make_data.image_bytes(make_data.pixels(SIZE, SIZE, 3, seed=k)))
      for k in range(12)})
  kwargs = {'preprocessing_fn': preprocessing_fn, 'datasets_use_caching': caching}
  unbroken = read(tmp_path, counts, 6, **kwargs)
  assert [position for *_, position in unbroken] == [[[taken]] for taken in range(4, 28, 4)]
  for k in (1, 3):
    resumed = read(tmp_path, counts, 6 - k, position=unbroken[k - 1][-1], **kwargs)
    for (images, labels, _, position), (same, as_, _, before) in zip(resumed, unbroken[k:]):
      np.testing.assert_array_equal(images, same)
      np.testing.assert_array_equal(labels, as_)
      assert position == before


def test_an_image_is_distorted_anew_in_every_epoch(tmp_path):
  write(tmp_path, [1])
  first, second = read(tmp_path, [1], 2, batch_size=1, preprocessing_fn=noisy)
  assert np.all(first[0] != second[0])


@pytest.mark.parametrize('buffer', [1, 1024])
def test_caching_reads_the_files_once(tmp_path, buffer):
  [path] = write(tmp_path, [12])
  def remove(number):
    if number == 3:
      os.rename(path, path + '.moved')
  batches = read(tmp_path, [12], 60, between=remove, datasets_use_caching=True,
                 shuffle_buffer_size=buffer)
  assert collections.Counter(numbers_of(batches)) == dict.fromkeys(range(12), 20)


def test_without_caching_the_files_are_read_in_every_epoch(tmp_path):
  [path] = write(tmp_path, [12])
  def remove(number):
    if number == 3:
      os.rename(path, path + '.moved')
  with pytest.raises(tf.errors.NotFoundError, match=r'0\.tfrecord'):
    read(tmp_path, [12], 60, between=remove)


# ---- Bad records ----

@pytest.mark.parametrize('left', [0, 17])
def test_a_file_that_has_become_shorter_is_an_error(tmp_path, left):
  """And no shorter epoch, let alone an endless search for a record."""
  [path] = write(tmp_path, [30])

  def shorten(number):
    make_data.write_records(path, map(record, range(left)))

  with pytest.raises(tf.errors.InvalidArgumentError,
                     match=rf'{path}\] \[has fewer than\] \[30\] \[records now: restore it'):
    read(tmp_path, [30], 100, between=shorten)


def test_an_undecodable_image_is_skipped_counted_and_named(tmp_path, capfd):
  write(tmp_path, [13], r7=record(7, encoded=b'no image'))
  batches = read(tmp_path, [13], 5, max_bad_fraction=0.1, shuffle_buffer_size=1)
  assert numbers_of(batches) == [*range(7), *range(8, 13), *range(7), 8]
  assert [int(batch[2]) for batch in batches] == [0, 1, 1, 1, 2]
  line = f'skipped an undecodable image: record 7 of "{tmp_path}/0.tfrecord"\n'
  assert line in capfd.readouterr().err


def test_the_neighbours_of_a_bad_image_are_distorted_as_without_it(tmp_path):
  def images():
    batches = read(tmp_path, [4], 1, preprocessing_fn=noisy, max_bad_fraction=0.5,
                   shuffle_buffer_size=1, batch_size=3)
    return {round(float(image.min())): image for image in batches[0][0]}

  write(tmp_path, [4])
  whole = images()
  write(tmp_path, [4], r1=record(1, encoded=b'no image'))
  assert sorted(whole) == [0, 1, 2]
  np.testing.assert_array_equal([whole[0], whole[2]], [images()[0], images()[2]])


def test_the_position_counts_skipped_records(tmp_path):
  write(tmp_path, [8], r0=record(0, encoded=b'no image'))
  batches = read(tmp_path, [8], 2, max_bad_fraction=0.2, shuffle_buffer_size=1, batch_size=2)
  assert numbers_of(batches) == [1, 2, 3, 4]
  assert [position for *_, position in batches] == [[[3]], [[5]]]
  resumed = read(tmp_path, [8], 1, max_bad_fraction=0.2, shuffle_buffer_size=1, position=[[3]])
  assert numbers_of(resumed) == [3, 4, 5, 6]


def test_too_many_undecodable_images_are_an_error(tmp_path):
  bad = {f'r{number}': record(number, encoded=b'no image') for number in (2, 5, 8)}
  write(tmp_path, [20], **bad)
  assert len(numbers_of(read(tmp_path, [20], 4, max_bad_fraction=0.15))) == 16
  with pytest.raises(tf.errors.InvalidArgumentError) as error:
    read(tmp_path, [20], 5, max_bad_fraction=0.1)
  assert '--max_bad_fraction allows' in error.value.message
  assert '[undecodable images:] [3] [so far, more than the] [2]' in error.value.message


def test_each_epoch_may_have_its_bad_images_early(tmp_path):
  write(tmp_path, [20], r0=record(0, encoded=b'no image'))
  batches = read(tmp_path, [20], 6, max_bad_fraction=0.05, shuffle_buffer_size=1)
  assert numbers_of(batches) == [*range(1, 20), *range(1, 6)]
  assert int(batches[-1][2]) == 2


@pytest.mark.parametrize('seed', [2, 3, 7])
def test_each_epoch_may_have_its_bad_images_after_a_resume_too(tmp_path, seed):
  write(tmp_path, [20], r0=record(0, encoded=b'no image'))
  batches = read(tmp_path, [20], 5, max_bad_fraction=0.05, position=[[10]], seed=seed)
  assert int(batches[-1][2]) <= 2


def test_one_rank_may_have_all_bad_images_of_an_epoch(tmp_path, monkeypatch):
  write(tmp_path, [20], r0=record(0, encoded=b'no image'))
  skipped = []
  for rank in range(2):
    as_rank(monkeypatch, rank, 2)
    skipped.append(int(read(tmp_path, [20], 5, max_bad_fraction=0.05)[-1][2]))
  assert sum(skipped) == 2


@pytest.mark.parametrize('fraction', [0.5, 1.0])
def test_only_undecodable_images_are_an_error_and_no_endless_loop(tmp_path, fraction):
  write(tmp_path, [2], r0=record(0, encoded=b'no'), r1=record(1, encoded=b'no'))
  with pytest.raises(tf.errors.InvalidArgumentError, match='max_bad_fraction'):
    read(tmp_path, [2], 1, max_bad_fraction=fraction)


@pytest.mark.parametrize('key', ['image/encoded', 'image/class/label'])
def test_a_record_without_image_or_label_is_an_error(tmp_path, key):
  example = tf.train.Example.FromString(record(1))
  del example.features.feature[key]
  write(tmp_path, [3], r1=example.SerializeToString())
  with pytest.raises(tf.errors.InvalidArgumentError) as error:
    read(tmp_path, [3], 3, batch_size=1, max_bad_fraction=1.0)
  assert f'a record has no {key}: record' in error.value.message
  assert f'[1] [of] [{tmp_path}/0.tfrecord]' in error.value.message.replace('"', '')


@pytest.mark.parametrize('label', [10, -1])
def test_a_label_outside_the_classes_is_an_error(tmp_path, label):
  write(tmp_path, [3], r1=record(1, label=label))
  with pytest.raises(tf.errors.InvalidArgumentError) as error:
    read(tmp_path, [3], 3, batch_size=1)
  message = error.value.message.replace('"', '')
  assert f'[label] [{label}] [is outside [0, 10): set --num_classes, or --labels_offset' in message
  assert f'or convert the data again; file] [{tmp_path}/0.tfrecord]' in message


# ---- On a GPU ----

def test_batches_are_copied_to_the_accelerator_ahead_of_the_step(tmp_path, monkeypatch):
  """A second processor device stands in for the GPU."""
  monkeypatch.setattr(device_utils, 'accelerator', lambda: '/cpu:1')
  [path] = write(tmp_path, [8])
  with tf.Graph().as_default() as graph:
    with tf.device('/cpu:0'):
      iterator = dataset_utils.training_iterator(
          [path], [8], mnist.parse_fn, grey, image_size=SIZE, num_classes=NUM_CLASSES,
          batch_size=4, seed=3, shuffle_buffer_size=1)
      images, labels = iterator.get_next()
    assert {images.device, labels.device} == {'/device:CPU:1'}
    devices = {op.type: op.device for op in graph.get_operations()}
    assert devices['GeneratorDataset'] == devices['IteratorGetNext'] == '/device:CPU:1'
    assert devices['RebatchDatasetV2'] == devices['MapDataset'] == '/device:CPU:0'
    with tf.Session(config=tf.ConfigProto(device_count={'CPU': 2})) as session:
      session.run([tf.global_variables_initializer(), tf.tables_initializer()])
      batches = [session.run([images, labels]) for _ in range(2)]
  assert [label for _, labels in batches for label in labels] == list(range(8))
  assert numbers_of(batches) == list(range(8))


def test_all_that_runs_on_the_accelerator_can_run_on_a_gpu():
  kernels = importlib.import_module('tensorflow.python.framework.kernels')
  for operation in ('GeneratorDataset', 'PrefetchDataset', 'IteratorV2', 'MakeIterator',
                    'IteratorGetNext'):
    found = kernels.get_registered_kernels_for_op(operation).kernel
    assert 'GPU' in {kernel.device_type for kernel in found}, operation


# ---- Waiting ----

@pytest.mark.parametrize('counts', [[2, 2, 2, 2], [8]])
def test_what_is_read_is_progress(tmp_path, monkeypatch, counts):
  """After a resume much may have to be read before the first batch, all of it of one file."""
  moves = []
  monkeypatch.setattr(stall_utils, 'heartbeat', lambda: moves.append('two records'))
  monkeypatch.setattr(record_utils, '_RECORDS_PER_HEARTBEAT', 2)
  write(tmp_path, counts)
  read(tmp_path, counts, 1, position=[[4]], shuffle_buffer_size=1)
  assert len(moves) >= 4


def share_of_waiting(path, preprocessing_fn, step, *, steps=4):
  """Return the share of the time of `steps` steps, on one thread, that is said to be waiting.

  Args:
    path: string, a file of 8 records.
    preprocessing_fn: as of training_iterator().
    step: function from a batch of images to a tensor.
  """
  config = tf.ConfigProto(inter_op_parallelism_threads=1, intra_op_parallelism_threads=1)
  with tf.Graph().as_default(), tf.Session(config=config) as session:
    iterator = dataset_utils.training_iterator(
        [path], [8], mnist.parse_fn, preprocessing_fn, image_size=SIZE, num_classes=NUM_CLASSES,
        batch_size=4, seed=3, num_preprocessing_threads=1)
    run = [step(iterator.get_next()[0]), iterator.wait]
    session.run([tf.global_variables_initializer(), tf.tables_initializer()])
    session.run(run)
    started = time.time()
    return sum(session.run(run)[1] for _ in range(steps)) / (time.time() - started)


def test_a_step_that_computes_does_not_wait(tmp_path):
  [path] = write(tmp_path, [8])

  def slow_step(images):
    product = tf.ones([1000, 1000]) * images[0, 0, 0, 0]
    for _ in range(5):
      product = tf.tanh(product @ product)
    return product[0, 0]

  assert share_of_waiting(path, grey, slow_step) < 0.05


def test_a_step_without_images_waits(tmp_path):
  [path] = write(tmp_path, [8])

  def slowly(image, height, width, seed):
    image = grey(image, height, width)
    return tf.ensure_shape(tf.py_func(lambda x: time.sleep(0.03) or x, [image], tf.float32),
                           image.shape)

  assert share_of_waiting(path, slowly, tf.reduce_sum) > 0.8


def test_mock_data_are_not_waited_for():
  with tf.Graph().as_default():
    iterator = dataset_utils.mock_iterator(cifarnet, image_size=5, num_classes=3, batch_size=2,
                                           seed=1)
    iterator.get_next()
    assert tf.get_static_value(iterator.wait) == 0


def test_the_clock_is_read_before_the_batch(tmp_path):
  [path] = write(tmp_path, [8])
  with tf.Graph().as_default() as graph:
    dataset_utils.training_iterator([path], [8], mnist.parse_fn, grey, image_size=SIZE,
                                    num_classes=NUM_CLASSES, batch_size=4, seed=3).get_next()
    [next_batch] = [op for op in graph.get_operations() if op.type == 'IteratorGetNext']
  assert [op.type for op in next_batch.control_inputs] == ['Timestamp']


# ---- Mock data ----

def test_mock_data_is_one_batch_repeated():
  with tf.Graph().as_default(), tf.Session() as session:
    iterator = dataset_utils.mock_iterator(lambda image, height, width, seed: image, image_size=5,
                                           num_classes=3, batch_size=64, seed=1)
    batch = iterator.get_next()
    assert [t.shape.as_list() for t in batch] == [[64, 5, 5, 3], [64]]
    assert [t.dtype for t in batch] == [tf.uint8, tf.int64]
    session.run(tf.tables_initializer())
    images, labels = session.run(batch)
    again, labels_again = session.run(batch)
  np.testing.assert_array_equal(images, again)
  np.testing.assert_array_equal(labels, labels_again)
  assert set(labels) == {0, 1, 2}
  assert len(np.unique(images, axis=0)) == 64
  assert (images.min(), images.max()) == (0, 255)
  assert images.mean() == pytest.approx(127.5, abs=4)
  assert iterator.skipped is None


def test_mock_images_are_prepared_as_others_are():
  with tf.Graph().as_default(), tf.Session() as session:
    iterator = dataset_utils.mock_iterator(cifarnet, image_size=5, num_classes=3, batch_size=2,
                                           seed=1)
    images, _ = iterator.get_next()
    session.run(tf.tables_initializer())
    # Each image is standardized.
    np.testing.assert_allclose(session.run(tf.math.reduce_std(images, [1, 2, 3])), 1, rtol=1e-5)


def test_mock_data_take_their_place_from_the_step(monkeypatch):
  as_rank(monkeypatch, 1, 2)
  with tf.Graph().as_default():
    step = tf.get_variable('global_step', initializer=tf.constant(5, tf.int64), trainable=False,
                           collections=[tf.GraphKeys.GLOBAL_STEP, tf.GraphKeys.GLOBAL_VARIABLES])
    iterator = dataset_utils.mock_iterator(cifarnet, image_size=5, num_classes=3, batch_size=4,
                                           seed=1)
    assert step is tf.train.get_global_step()
    assert places(iterator, 1) == [2 * 5 + 1]


# ---- Evaluation ----

def evaluate(files, counts, *, preprocessing_fn=grey, **kwargs):
  """Return [(numbers, labels)] of all batches with bad images left out, and their number."""
  arguments = {'image_size': SIZE, 'num_classes': NUM_CLASSES, 'batch_size': 4,
               'num_preprocessing_threads': 2, **kwargs}
  batches, bad = [], 0
  with tf.Graph().as_default(), tf.Session() as session:
    iterator = dataset_utils.evaluation_iterator(files, counts, mnist.parse_fn,
                                                 preprocessing_fn, **arguments)
    batch = iterator.get_next()
    session.run(iterator.initializer)
    while True:
      try:
        values = session.run(batch)
      except tf.errors.OutOfRangeError:
        return batches, bad
      good = values['good']
      batches.append((values['image'][good, 0, 0, 0].tolist(), values['label'][good].tolist()))
      bad += int(np.sum(~good))


def test_each_image_is_evaluated_once_and_the_last_batch_is_smaller(tmp_path):
  files = write(tmp_path, [10])
  batches, _ = evaluate(files, [10])
  assert batches == [([0, 1, 2, 3], [0, 1, 2, 3]), ([4, 5, 6, 7], [4, 5, 6, 7]), ([8, 9], [8, 9])]


@pytest.mark.parametrize(('counts', 'size'), [([3, 7, 5], 1), ([3, 7, 5], 2), ([1, 1], 3)])
def test_the_ranks_share_the_evaluation(tmp_path, monkeypatch, counts, size):
  files = write(tmp_path, counts)
  numbers = []
  for rank in range(size):
    as_rank(monkeypatch, rank, size)
    batches, _ = evaluate(files, counts)
    numbers.append(sum((images for images, _ in batches), []))
  assert sorted(sum(numbers, [])) == list(range(sum(counts)))
  assert max(map(len, numbers)) - min(map(len, numbers)) <= 1


def test_evaluation_counts_undecodable_images_to_the_last(tmp_path):
  files = write(tmp_path, [6], r1=record(1, encoded=b'no'), r5=record(5, encoded=b'no'))
  batches, bad = evaluate(files, [6], max_bad_fraction=0.5)
  assert [numbers for numbers, _ in batches] == [[0, 2, 3], [4]]
  assert bad == 2


def test_all_bad_images_may_be_on_one_rank(tmp_path, monkeypatch):
  files = write(tmp_path, [20], r1=record(1, encoded=b'no'))
  as_rank(monkeypatch, 0, 4)
  batches, bad = evaluate(files, [20], max_bad_fraction=0.05)
  assert ([numbers for numbers, _ in batches], bad) == ([[0, 2, 3], [4]], 1)


def test_evaluation_ends_at_too_many_undecodable_images(tmp_path):
  files = write(tmp_path, [6], r1=record(1, encoded=b'no'), r5=record(5, encoded=b'no'))
  with pytest.raises(tf.errors.InvalidArgumentError, match='max_bad_fraction'):
    evaluate(files, [6], max_bad_fraction=0.2)


def test_the_labels_offset_is_subtracted(tmp_path):
  write(tmp_path, [4])
  [(_, labels, _, _)] = read(tmp_path, [4], 1, labels_offset=-1)
  assert sorted(labels) == [1, 2, 3, 4]


def test_the_labels_offset_is_subtracted_in_an_evaluation_too(tmp_path):
  files = write(tmp_path, [4])
  batches, _ = evaluate(files, [4], labels_offset=-1)
  assert batches == [([0, 1, 2, 3], [1, 2, 3, 4])]


def make_mock(path, **sizes):
  return dataset_utils.mock_iterator(cifarnet, seed=1, **sizes)


def make_training(path, **sizes):
  return dataset_utils.training_iterator([path], [4], mnist.parse_fn, grey, seed=1, **sizes)


def make_evaluation(path, **sizes):
  return dataset_utils.evaluation_iterator([path], [4], mnist.parse_fn, grey, **sizes)


@pytest.mark.parametrize('make', [make_training, make_evaluation])
@pytest.mark.parametrize(('batches', 'threads', 'at_once'), [(3, 9, 3), (9, 4, 4)])
def test_so_many_batches_are_prepared_at_the_same_time(tmp_path, make, batches, threads, at_once):
  """Each takes memory; more than threads are of no use."""
  [path] = write(tmp_path, [4])
  with tf.Graph().as_default() as graph:
    make(str(path), image_size=SIZE, num_classes=NUM_CLASSES, batch_size=2,
         num_parallel_batches=batches, num_preprocessing_threads=threads)
    [calls] = [op.inputs[-1] for op in graph.get_operations() if op.type == 'ParallelMapDatasetV2']
    assert tf.get_static_value(calls) == at_once
    [op] = [op for op in graph.get_operations() if op.type == 'OptionsDataset']
    options = dataset_options_pb2.Options.FromString(op.get_attr('serialized_options'))
    assert options.threading_options.private_threadpool_size == threads


@pytest.mark.parametrize('make', [make_mock, make_training, make_evaluation])
def test_the_end_of_a_run_waits_for_no_tuner(tmp_path, make):
  """That of tf.data wakes up once a minute, and closing a session waits for it."""
  [path] = write(tmp_path, [4])
  with tf.Graph().as_default() as graph:
    make(str(path), image_size=SIZE, num_classes=NUM_CLASSES, batch_size=2)
    [op] = [op for op in graph.get_operations() if op.type == 'OptionsDataset']
    options = dataset_options_pb2.Options.FromString(op.get_attr('serialized_options'))
    assert options.autotune_options.HasField('enabled')
    assert not options.autotune_options.enabled
