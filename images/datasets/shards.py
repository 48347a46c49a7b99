"""Writes the raw images of a data set into its TFRecord files, evenly, and counts the bad ones."""
import collections
import concurrent.futures
import os
import sys
import warnings

from images.datasets import raw_images, tfrecord
from images.datasets.progress import Progress
from images.datasets.raw_data import ConversionError


def write(data, dataset_dir, *, max_bad_fraction, replaced=()):
  """Write the files of both parts of a RawData; they appear once all are complete.

  Args:
    data: RawData.
    dataset_dir: string, a local folder.
    max_bad_fraction: float, the fraction of images that may be undecodable. Each one is
      printed with the reason and left out.
    replaced: see tfrecord.writing().

  Returns:
    A dict from file names to {'records', 'bytes', 'labels'}, for the manifest.

  Raises:
    ConversionError: there are no images, too many bad ones, or too few to fill every file, or
      no good training image of a class.
  """
  paths = [os.path.join(dataset_dir, file) for split in data[1:] for file in split.files]
  if not data.train.images:
    raise ConversionError('there are no images to convert')
  with tfrecord.writing(paths, replaced) as writers:
    shards = [_Shard(path, writer) for path, writer in zip(paths, writers)]
    bad = _write_images(data, shards)
    _check(data, shards, bad, max_bad_fraction)
  return {os.path.basename(shard.path): shard.manifest_entry() for shard in shards}


class _Shard:
  """A file that is being written, and its entry in the manifest."""

  def __init__(self, path, writer):
    self.path = path
    self.labels = collections.Counter()
    self._writer = writer

  def write(self, raw, image):
    """Append the EncodedImage of a RawImage."""
    self._writer.write(tfrecord.make_example(
        image.encoded, raw.label, image_format=image.format, height=image.height,
        width=image.width, filename=raw.filename))
    self.labels[raw.label] += 1

  def manifest_entry(self):
    return {'records': sum(self.labels.values()), 'bytes': os.path.getsize(self.path),
            'labels': [min(self.labels), max(self.labels)]}


def _write_images(data, shards):
  """Write both parts, training first; return the list of RawImages that are bad."""
  progress = Progress('Converting', len(data.train.images) + len(data.test.images), unit=' images')
  bad = []
  done = 0
  for split in data[1:]:
    files, shards = shards[:len(split.files)], shards[len(split.files):]
    good = 0
    for raw, image in _standardized(split.images):
      done += 1
      progress.show(done)
      if isinstance(image, Exception):
        print(f'{printable(raw.filename)}: {image}', file=sys.stderr)
        bad.append(raw)
      else:
        files[good % len(files)].write(raw, image)
        good += 1
  progress.finish(done)
  return bad


def _standardized(images):
  """Yield (RawImage, EncodedImage or the exception that prevented it) in order.

  Images are read one after another, as an archive has one file position, and decoded by
  one thread per core; only a few at a time are in memory.
  """
  raw_images.load_plugins()
  cores = os.cpu_count() or 1
  pending = collections.deque()
  with warnings.catch_warnings(), concurrent.futures.ThreadPoolExecutor(cores) as pool:
    # A mere warning of Pillow, such as about odd metadata, does not make an image bad.
    warnings.simplefilter('ignore')
    for raw in images:
      pending.append((raw, _submit(pool, raw)))
      if len(pending) > 4 * cores:
        raw, outcome = pending.popleft()
        yield raw, outcome.result()
    for raw, outcome in pending:
      yield raw, outcome.result()


def _submit(pool, raw):
  """Read a RawImage and start to standardize it; return the Future of the outcome."""
  try:
    content = raw.read()
  except OSError as error:
    unreadable = concurrent.futures.Future()
    unreadable.set_result(error)
    return unreadable
  return pool.submit(_standardize, content)


def _standardize(content):
  try:
    return raw_images.standardize(content)
  except raw_images.BadImageError as error:
    return error


def _check(data, shards, bad, max_bad_fraction):
  """Raise ConversionError if what was written is not fit for training."""
  total = len(data.train.images) + len(data.test.images)
  if len(bad) > max_bad_fraction * total:
    raise ConversionError(
        f'{len(bad)} of {total} images cannot be decoded (listed above), more than '
        f'--max_bad_fraction={max_bad_fraction} allows; repair or remove them, or allow more')
  if bad:
    print(f'{len(bad)} of {total} images cannot be decoded and are left out', file=sys.stderr)
  train = shards[:len(data.train.files)]
  lost = {raw.label for raw in data.train.images}.difference(*(shard.labels for shard in train))
  if lost:
    names = ', '.join(data.classes[label] for label in sorted(lost))
    raise ConversionError(f'no training image of these classes can be decoded: {names}')
  empty = [os.path.basename(shard.path) for shard in shards if not shard.labels]
  if empty:
    raise ConversionError(f'there are too few images to fill {", ".join(empty)}; add images, or '
                          'ask for fewer --num_shards')


def printable(name):
  """Return a file name, quoted and escaped if it has unprintable characters."""
  return name if name.isprintable() else repr(name)
