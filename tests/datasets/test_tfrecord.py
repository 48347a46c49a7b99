import json
import os

import pytest

from images.datasets import framing, tfrecord
from images.utils.tf1 import tf
from tests.datasets import make_data


def parse(record):
  with tf.Graph().as_default(), tf.Session() as session:
    tensors = tfrecord.parse_example(tf.constant(record))
    return [tensor.shape.as_list() for tensor in tensors], session.run(tensors)


def make_example(**features):
  """Return an example of bytes and int values; `encoded` stands for image/encoded etc."""
  names = {'encoded': 'image/encoded', 'label': 'image/class/label', 'filename': 'image/filename'}
  example = tf.train.Example()
  for name, value in features.items():
    feature = example.features.feature[names[name]]
    (feature.int64_list if isinstance(value, int) else feature.bytes_list).value.append(value)
  return example.SerializeToString()


def test_an_example_comes_back():
  record = tfrecord.make_example(b'\x89PNG', 3, image_format='png', height=2, width=5,
                                 filename='a/b.png')
  shapes, (encoded, label) = parse(record)
  assert shapes == [[], []]
  assert (encoded, label, label.dtype) == (b'\x89PNG', 3, 'int64')


def test_the_features_of_a_record(tmp_path):
  record = tfrecord.make_example(b'abc', 3, image_format='jpeg', height=2, width=5, filename='é')
  path = make_data.write_records(tmp_path / 'a', [record])
  assert make_data.read_features(path) == [{
      'image/encoded': b'abc', 'image/format': b'jpeg', 'image/class/label': 3,
      'image/height': 2, 'image/width': 5, 'image/filename': 'é'.encode()}]


def test_label_zero_and_no_other_features_will_do():
  _, (encoded, label) = parse(make_example(encoded=b'x', label=0))
  assert (encoded, label) == (b'x', 0)


@pytest.mark.parametrize(('features', 'missing'), [
    ({'label': 1}, 'image/encoded'),
    ({'encoded': b'x'}, 'image/class/label'),
])
def test_a_record_without_image_or_label_is_an_error(features, missing):
  with pytest.raises(tf.errors.InvalidArgumentError, match=f'{missing} .*could not be found'):
    parse(make_example(filename=b'cat.jpg', **features))


def test_files_appear_together_when_whole(tmp_path):
  paths = [str(tmp_path / name) for name in ('a', 'b')]
  with tfrecord.writing(paths) as writers:
    writers[0].write(b'1')
    writers[1].write(b'2')
    assert sorted(os.listdir(tmp_path)) == ['a.partial', 'b.partial']
  assert sorted(os.listdir(tmp_path)) == ['a', 'b']
  assert make_data.run_dataset(tf.data.TFRecordDataset, paths) == [b'1', b'2']


def test_all_bytes_are_on_the_disk_before_the_first_file_has_its_name(tmp_path, monkeypatch):
  done = []
  monkeypatch.setattr(os, 'fsync', lambda file: done.append(os.readlink(f'/proc/self/fd/{file}')))
  monkeypatch.setattr(os, 'replace', lambda _, path: done.append(path))
  a, b = (str(tmp_path / name) for name in ('a', 'b'))
  with tfrecord.writing([a, b]):
    pass
  assert done == [f'{a}.partial', f'{b}.partial', b, a]


def test_files_take_the_place_of_others(tmp_path):
  old = [make_data.write_records(tmp_path / name, [b'old']) for name in ('a', 'b')]
  with tfrecord.writing([str(tmp_path / 'b')], [*old, str(tmp_path / 'none')]) as writers:
    writers[0].write(b'new')
  assert os.listdir(tmp_path) == ['b']
  assert make_data.run_dataset(tf.data.TFRecordDataset, old[1]) == [b'new']


def test_an_error_leaves_the_earlier_files_alone(tmp_path):
  path = make_data.write_records(tmp_path / 'a', [b'earlier'])
  with pytest.raises(TypeError), tfrecord.writing([path], [path]) as writers:
    writers[0].write(None)
  assert os.listdir(tmp_path) == ['a']
  assert make_data.run_dataset(tf.data.TFRecordDataset, path) == [b'earlier']


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='only Linux has /dev/full')
def test_a_full_disk_is_an_error(tmp_path):
  (tmp_path / 'a.partial').symlink_to('/dev/full')
  with pytest.raises(tf.errors.OpError, match='No space left'), \
       tfrecord.writing([str(tmp_path / 'a')]) as writers:
    writers[0].write(b'x')
  assert os.listdir(tmp_path) == []


def test_labels(tmp_path):
  folder = str(tmp_path)
  assert tfrecord.read_labels(folder) is None
  tfrecord.write_labels(folder, ['cat', 'dog: big', 'ночь'])
  assert (tmp_path / 'labels.txt').read_text('utf-8') == '0:cat\n1:dog: big\n2:ночь\n'
  assert tfrecord.read_labels(folder) == {0: 'cat', 1: 'dog: big', 2: 'ночь'}
  assert os.listdir(tmp_path) == ['labels.txt']


@pytest.mark.parametrize(('text', 'expected'), [
    ('\ufeff1:cat\n3:dog: big\n\n', {1: 'cat', 3: 'dog: big'}),
    ('cat\n2: dog\n', {0: 'cat', 1: '2: dog'})])
def test_labels_that_others_have_written(tmp_path, text, expected):
  (tmp_path / 'labels.txt').write_text(text)
  assert tfrecord.read_labels(str(tmp_path)) == expected


def test_manifest(tmp_path):
  folder = str(tmp_path)
  assert tfrecord.read_manifest(folder) is None
  manifest = {'dataset': 'x', 'classes': ['a'],
              'files': {'f': {'records': 1, 'bytes': 2, 'labels': [0, 0]}}}
  tfrecord.write_manifest(folder, manifest)
  assert tfrecord.read_manifest(folder) == {'format': 1, **manifest}
  assert os.listdir(tmp_path) == ['manifest.json']


@pytest.mark.parametrize('text', [
    '', '{"dataset": "x"', '[]', '{}', '\x00\xff',
    json.dumps({'format': 2, 'dataset': 'x', 'classes': [], 'files': {}}),
    json.dumps({'dataset': 'x', 'classes': [], 'files': {'f': {'records': 1}}}),
    json.dumps({'dataset': 'x', 'classes': [], 'files': ['f']}),
    json.dumps({'dataset': 'x', 'classes': None, 'files': {}}),
])
def test_a_damaged_manifest_is_an_error(tmp_path, text):
  (tmp_path / 'manifest.json').write_bytes(text.encode('latin1'))
  with pytest.raises(ValueError, match=r'manifest\.json: not a manifest of format 1; remove it'):
    tfrecord.read_manifest(str(tmp_path))


def test_record_counts_believes_a_manifest_of_the_same_size(tmp_path):
  paths = make_data.write_dataset(tmp_path, 'x', {'f': [0, 1], 'g': [1]}, classes=['a', 'b'])
  manifest = tfrecord.read_manifest(str(tmp_path))
  assert tfrecord.record_counts(paths, manifest) == [2, 1]
  manifest['files']['f']['records'] = 77
  manifest['files']['g'] = {'records': 88, 'bytes': 1, 'labels': [0, 1]}
  assert tfrecord.record_counts(paths, manifest) == [77, 1]
  assert tfrecord.record_counts(paths, None) == [2, 1]


def test_record_counts_of_a_missing_file(tmp_path):
  path = str(tmp_path / 'absent')
  with pytest.raises(FileNotFoundError, match=r'absent does not exist; check --dataset_dir'):
    tfrecord.record_counts([path], None)


def test_record_counts_of_an_empty_file(tmp_path):
  path = make_data.write_records(tmp_path / 'empty', [])
  with pytest.raises(ValueError, match='empty has no records; leave it out of --train_files'):
    tfrecord.record_counts([path], None)


def test_record_counts_of_a_corrupt_file(tmp_path):
  path = tmp_path / 'f'
  path.write_bytes(b'not a record')
  with pytest.raises(framing.CorruptRecordError, match=r'f: record 0 \(from 0\) at byte 0'):
    tfrecord.record_counts([str(path)], None)
