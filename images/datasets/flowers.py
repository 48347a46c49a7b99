"""Flowers: 3,670 colour photos of various sizes, 5 classes.

Source: https://www.tensorflow.org/datasets/catalog/tf_flowers
"""
from images.datasets import archives, tfrecord
from images.datasets.raw_data import ConversionError, RawData, RawImage, Split, shuffled

CLASSES = ['daisy', 'dandelion', 'roses', 'sunflowers', 'tulips']
SIZES = {'train': 3320, 'test': 350}
TRAIN_FILES = [f'flowers_train_{k:05d}-of-00005.tfrecord' for k in range(5)]
TEST_FILES = [f'flowers_validation_{k:05d}-of-00005.tfrecord' for k in range(5)]
parse_fn = tfrecord.parse_example

URL = 'https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz'


def read_raw(dataset_dir, *, source_dir=None):
  """Return the RawData of flower_photos.tgz, or of the folder unpacked from it.

  The photos are shuffled, always in the same way, and the first 350 of 3,670, or the same
  fraction of an incomplete archive, are for validation.

  Args:
    dataset_dir: string, where the archive is, or is downloaded to.
    source_dir: string or None, a folder that has it; nothing is downloaded then.

  Raises:
    ConversionError: the archive is not there, damaged, or lacks photos of a class.
  """
  path = archives.fetch(['flower_photos.tgz', 'flower_photos'], URL, source_dir=source_dir,
                        dataset_dir=dataset_dir, inside=CLASSES[0])
  # The folder of a photo is its class; LICENSE.txt lies outside of them.
  photos = [(name.split('/')[-2:], read)
            for name, read in archives.read_tree(path, scratch_dir=dataset_dir)]
  images = [RawImage('/'.join(names), CLASSES.index(names[0]), read)
            for names, read in photos if names[0] in CLASSES]
  missing = set(range(len(CLASSES))) - {image.label for image in images}
  if missing:
    raise ConversionError(f'{path} has no photos in the folder(s) '
                          f'{", ".join(CLASSES[label] for label in sorted(missing))}')
  return RawData(CLASSES, *_split(images))


def _split(images):
  """Return the training and the validation Split of sorted RawImages."""
  images = shuffled(images)
  held_out = round(len(images) * SIZES['test'] / (SIZES['train'] + SIZES['test']))
  # Even a tiny collection fills every validation file.
  held_out = max(held_out, len(TEST_FILES))
  return Split(TRAIN_FILES, images[held_out:]), Split(TEST_FILES, images[:held_out])
