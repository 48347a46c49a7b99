import os

import pytest

from images.datasets import shards, tfrecord
from images.datasets.raw_data import ConversionError, RawData, RawImage, Split
from tests.datasets import make_data


def raw(filename, content, label=0):
  return RawImage(filename, label, lambda: content)


def data(train, test=(), *, files=1, classes=('a', 'b')):
  names = [f'train{k}' for k in range(files)]
  return RawData(list(classes), Split(names, train), Split(['test'] if test else [], list(test)))


def write(data, folder, max_bad_fraction=0.0):
  return shards.write(data, str(folder), max_bad_fraction=max_bad_fraction)


def test_images_go_to_the_files_in_turn(tmp_path):
  images = [raw(f'{k}', make_data.pixels(2, 3, seed=k), k % 2) for k in range(5)]
  entries = write(data(images, [raw('t', make_data.jpeg(), 1)], files=2), tmp_path)
  assert entries == {
      'train0': {'records': 3, 'bytes': os.path.getsize(tmp_path / 'train0'), 'labels': [0, 0]},
      'train1': {'records': 2, 'bytes': os.path.getsize(tmp_path / 'train1'), 'labels': [1, 1]},
      'test': {'records': 1, 'bytes': os.path.getsize(tmp_path / 'test'), 'labels': [1, 1]}}
  records = make_data.read_features(tmp_path / 'train1')
  assert [(record['image/filename'], record['image/height'], record['image/width'])
          for record in records] == [(b'1', 2, 3), (b'3', 2, 3)]
  assert make_data.read_features(tmp_path / 'test')[0]['image/encoded'] == make_data.jpeg()


def test_bad_images_are_listed_and_left_out_and_files_stay_even(tmp_path, capsys):
  images = [raw(f'{k}.jpg', b'junk' if k in (0, 2, 4) else make_data.jpeg(seed=k))
            for k in range(10)]
  entries = write(data(images, files=3), tmp_path, max_bad_fraction=0.3)
  assert [entry['records'] for entry in entries.values()] == [3, 2, 2]
  assert capsys.readouterr().err == (
      '0.jpg: not an image\n2.jpg: not an image\n4.jpg: not an image\n'
      'Converting: 10 of 10 images\n3 of 10 images cannot be decoded and are left out\n')


def test_too_many_bad_images(tmp_path, capsys):
  images = [raw(f'{k}.jpg', b'' if k < 3 else make_data.jpeg()) for k in range(10)]
  with pytest.raises(ConversionError, match=r'3 of 10 images cannot .* --max_bad_fraction=0\.29'):
    write(data(images), tmp_path, max_bad_fraction=0.29)
  assert os.listdir(tmp_path) == []
  assert '2.jpg: the file is empty' in capsys.readouterr().err


def test_files_that_cannot_be_read_are_bad(tmp_path, capsys):
  def read():
    raise PermissionError(13, 'Permission denied')
  images = [raw('good', make_data.jpeg()), RawImage('locked\n.jpg', 0, read)]
  assert write(data(images), tmp_path, max_bad_fraction=0.5)['train0']['records'] == 1
  assert r"'locked\n.jpg': [Errno 13] Permission denied" in capsys.readouterr().err


def test_a_class_without_a_good_image(tmp_path):
  images = [raw('a', make_data.jpeg()), raw('b', b'junk', label=1)]
  with pytest.raises(ConversionError, match='no training image of these classes .*: b$'):
    write(data(images), tmp_path, max_bad_fraction=1.0)


def test_a_file_without_a_good_image(tmp_path):
  images = [raw('a', make_data.jpeg()), raw('b', b'junk')]
  with pytest.raises(ConversionError, match='too few images to fill train1'):
    write(data(images, files=2), tmp_path, max_bad_fraction=1.0)


def test_no_images(tmp_path):
  with pytest.raises(ConversionError, match='no images to convert'):
    write(data([]), tmp_path)


def test_few_images_are_in_memory_at_once(tmp_path):
  held = []
  def images():
    for k in range(200):
      yield RawImage(f'{k}', 0, lambda k=k: held.append(k) or make_data.pixels(2, 2))
  class Lazy:
    __iter__ = staticmethod(images)
    __len__ = staticmethod(lambda: 200)
  most = 0
  for count, _ in enumerate(shards._standardized(Lazy()), 1):
    most = max(most, len(held) - count)
  assert (len(held), most) == (200, min(199, 4 * os.cpu_count()))


def test_new_files_take_the_place_of_others_once_they_are_whole(tmp_path):
  manifest = tmp_path / tfrecord.MANIFEST
  manifest.write_text('{}')
  with pytest.raises(ConversionError):
    shards.write(data([raw('a', b'junk')]), str(tmp_path), max_bad_fraction=0,
                 replaced=[str(manifest)])
  assert os.listdir(tmp_path) == [tfrecord.MANIFEST]
  shards.write(data([raw('a', make_data.jpeg())]), str(tmp_path), max_bad_fraction=0,
               replaced=[str(manifest)])
  assert os.listdir(tmp_path) == ['train0']
