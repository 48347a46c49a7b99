"""Makes tiny raw archives, photo trees and TFRecord data sets for the tests."""
import functools
import gzip
import io
import os
import pickle
import struct
import tarfile

import numpy as np
from PIL import Image

from images.datasets import tfrecord
from images.utils.tf1 import tf


def pixels(*shape, seed=0):
  """Return random uint8 values."""
  return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def image_bytes(image, image_format='png', **options):
  """Encode a PIL image or a uint8 array as an image file."""
  buffer = io.BytesIO()
  image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
  image.save(buffer, image_format, **options)
  return buffer.getvalue()


def jpeg(height=8, width=12, *, seed=0):
  """Return a small RGB JPEG file of noise."""
  return image_bytes(pixels(height, width, 3, seed=seed), 'jpeg')


def write_records(path, records):
  """Write serialized records to a TFRecord file."""
  with tf.io.TFRecordWriter(str(path)) as writer:
    for record in records:
      writer.write(record)
  return str(path)


def write_dataset(dataset_dir, name, labels_by_file, *, classes, size=28):
  """Write a TFRecord data set of random RGB PNG images with labels.txt and manifest.json.

  Args:
    dataset_dir: path of a folder, made if need be.
    name: string, the data set's name in the manifest.
    labels_by_file: dict from file names to the labels of their records.
    classes: list of strings.
    size: int, height and width of the images in pixels.

  Returns:
    The list of file paths.
  """
  os.makedirs(dataset_dir, exist_ok=True)
  files, paths = {}, []
  for file, labels in labels_by_file.items():
    records = [
        tfrecord.make_example(image_bytes(pixels(size, size, 3, seed=seed)), label,
                              image_format='png', height=size, width=size, filename=f'{seed}')
        for seed, label in enumerate(labels)]
    paths.append(write_records(os.path.join(dataset_dir, file), records))
    files[file] = {'records': len(labels), 'bytes': os.path.getsize(paths[-1]),
                   'labels': [min(labels), max(labels)]}
  tfrecord.write_labels(str(dataset_dir), classes)
  tfrecord.write_manifest(str(dataset_dir), {'dataset': name, 'classes': classes, 'files': files})
  return paths


def read_features(path):
  """Return the records of a TFRecord file as dicts from feature names to plain values."""
  def value(feature):
    return (feature.bytes_list.value or feature.int64_list.value)[0]
  records = []
  for record in run_dataset(tf.data.TFRecordDataset, str(path)):
    features = tf.train.Example.FromString(record).features.feature
    records.append({name: value(feature) for name, feature in features.items()})
  return records


def run_dataset(make_dataset, *args):
  """Return all that the dataset `make_dataset(*args)` yields, through a session."""
  results = []
  with tf.Graph().as_default(), tf.Session() as session:
    values = tf.data.make_one_shot_iterator(make_dataset(*args)).get_next()
    while True:
      try:
        results.append(session.run(values))
      except tf.errors.OutOfRangeError:
        return results


def decode(encoded):
  """Return the RGB pixels of an image file as Pillow sees them."""
  return np.asarray(Image.open(io.BytesIO(encoded)).convert('RGB'))


def decode_by_tensorflow(encoded):
  """Return the RGB pixels of a JPEG or PNG file as TensorFlow sees them.

  With the accurate cosine transform, which Pillow uses too; TensorFlow's default is a
  faster one.
  """
  with tf.Graph().as_default(), tf.Session() as session:
    return session.run(tf.image.decode_jpeg(encoded, channels=3, dct_method='INTEGER_ACCURATE'))


def write_idx(path, array):
  """Write a uint8 array as an idx file, compressed if the name ends in .gz."""
  header = bytes([0, 0, 8, array.ndim]) + struct.pack(f'>{array.ndim}I', *array.shape)
  data = header + array.tobytes()
  with open(path, 'wb') as file:
    file.write(gzip.compress(data) if str(path).endswith('.gz') else data)


def write_mnist(folder, *, train=7, test=3, suffix='.gz'):
  """Write the four MNIST files; return (train pixels, train labels, test pixels, labels)."""
  arrays = []
  for prefix, count in (('train', train), ('t10k', test)):
    images, labels = pixels(count, 28, 28, seed=count), np.arange(count, dtype=np.uint8) % 10
    write_idx(folder / f'{prefix}-images-idx3-ubyte{suffix}', images)
    write_idx(folder / f'{prefix}-labels-idx1-ubyte{suffix}', labels)
    arrays += [images, labels]
  return arrays


def write_tar(path, files, mode='w:gz'):
  """Write a dict from names to bytes as a tar archive."""
  with tarfile.open(path, mode) as archive:
    for name, data in files.items():
      member = tarfile.TarInfo(name)
      member.size = len(data)
      archive.addfile(member, io.BytesIO(data))


def cifar10_files(*, per_batch=2):
  """Return the files of the CIFAR-10 archive as a dict from names to bytes, out of order."""
  files = {'cifar-10-batches-py/readme.html': b'<html>'}
  for seed, name in enumerate(['test_batch', *(f'data_batch_{k}' for k in (4, 1, 5, 2, 3))]):
    batch = {b'data': pixels(per_batch, 3072, seed=seed), b'filenames': [b'x.png'] * per_batch,
             b'labels': [(seed + row) % 10 for row in range(per_batch)]}
    files[f'cifar-10-batches-py/{name}'] = pickle.dumps(batch, protocol=2)
  return files


def write_tree(folder, files):
  """Write a dict from relative names to bytes as files."""
  for name, data in files.items():
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
  return folder


def photos(counts, *, prefix=''):
  """Return JPEG files `<prefix><class>/<k>.jpg`, `counts[class]` of each class."""
  return {f'{prefix}{name}/{k}.jpg': jpeg(seed=100 * index + k)
          for index, (name, count) in enumerate(counts.items()) for k in range(count)}


def folder_bytes(folder):
  """Return all files of a folder as a dict from names to bytes."""
  return {path.name: path.read_bytes() for path in folder.iterdir()}


flower_photos = functools.partial(
    photos, dict.fromkeys(['daisy', 'dandelion', 'roses', 'sunflowers', 'tulips'], 8),
    prefix='flower_photos/')
