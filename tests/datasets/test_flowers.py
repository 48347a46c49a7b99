import pytest

from images.datasets import flowers
from images.datasets.raw_data import ConversionError
from tests.datasets import make_data


def names(split):
  return [raw.filename for raw in split.images]


def test_photos_are_split_and_labelled(tmp_path):
  photos = make_data.flower_photos()
  make_data.write_tar(tmp_path / 'flower_photos.tgz',
                      {'flower_photos/LICENSE.txt': b'text', **photos})
  data = flowers.read_raw(str(tmp_path))
  assert sorted(names(data.train) + names(data.test)) == sorted(
      name.removeprefix('flower_photos/') for name in photos)
  for raw in data.train.images + data.test.images:
    assert flowers.CLASSES[raw.label] == raw.filename.split('/')[0]
    assert raw.read() == photos['flower_photos/' + raw.filename]
  assert data.test.files[4] == 'flowers_validation_00004-of-00005.tfrecord'


def test_the_split_depends_on_the_names_only(tmp_path):
  photos = make_data.flower_photos()
  make_data.write_tree(tmp_path / 'a', photos)
  (tmp_path / 'b').mkdir()
  make_data.write_tar(tmp_path / 'b' / 'flower_photos.tgz', dict(reversed(photos.items())))
  sources = [tmp_path / 'a', tmp_path / 'a' / 'flower_photos', tmp_path / 'b']
  splits = [flowers.read_raw(str(tmp_path), source_dir=str(source)) for source in sources]
  assert names(splits[0].train) == names(splits[1].train) == names(splits[2].train)
  assert names(splits[0].test) == names(splits[1].test) == names(splits[2].test)


@pytest.mark.parametrize(('count', 'held_out'), [(3670, 350), (920, 88), (20, 5)])
def test_the_official_proportion_is_held_out(tmp_path, count, held_out):
  for k in range(count):
    folder = tmp_path / flowers.CLASSES[k % 5]
    folder.mkdir(exist_ok=True)
    (folder / f'{k}.jpg').touch()
  data = flowers.read_raw(str(tmp_path), source_dir=str(tmp_path))
  assert (len(data.train.images), len(data.test.images)) == (count - held_out, held_out)


def test_missing_classes_are_named(tmp_path):
  make_data.write_tree(tmp_path, {'daisy/1.jpg': b'', 'roses/1.jpg': b'', 'tulips/1.jpg': b''})
  with pytest.raises(ConversionError, match=r'no photos in the folder\(s\) dandelion, sunflowers'):
    flowers.read_raw(str(tmp_path), source_dir=str(tmp_path))


def test_classes_are_in_the_order_of_their_names():
  assert sorted(flowers.CLASSES) == flowers.CLASSES
