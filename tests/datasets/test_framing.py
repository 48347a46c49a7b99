import struct

import pytest

from images.datasets import framing
from images.utils import stall_utils
from images.utils.tf1 import tf
from tests.datasets import make_data


@pytest.fixture
def path(tmp_path):
  """A file of three records of 10, 0 and 300 bytes, so at offsets 0, 26 and 42."""
  return make_data.write_records(tmp_path / 'a.tfrecord', [b'x' * 10, b'', b'y' * 300])


def damage(path, offset):
  with open(path, 'r+b') as file:
    file.seek(offset)
    byte = file.read(1)[0]
    file.seek(offset)
    file.write(bytes([byte ^ 1]))


def truncate(path, size):
  with open(path, 'r+b') as file:
    file.truncate(size)


def test_crc32c_of_the_published_check_value():
  # RFC 3720 B.4: the crc32c of 32 zero bytes is 8A9136AA.
  expected = (((0x8A9136AA >> 15) | (0x8A9136AA << 17)) + 0xA282EAD8) & 0xFFFFFFFF
  assert framing.masked_crc32c(bytes(32)) == expected


def test_counts_what_tensorflow_wrote(path):
  assert framing.count_records(path) == 3


def test_an_empty_file_has_no_records(tmp_path):
  assert framing.count_records(make_data.write_records(tmp_path / 'b', [])) == 0


@pytest.mark.parametrize(('size', 'message'), [
    (45, r'record 2 \(from 0\) at byte 42 is corrupt: the file ends within its header'),
    (100, r'record 2 \(from 0\) at byte 42 is corrupt: the file is 258 bytes too short'),
    (30, r'record 1 \(from 0\) at byte 26 is corrupt: the file ends within its header'),
])
def test_truncation_is_found(path, size, message):
  truncate(path, size)
  with pytest.raises(framing.CorruptRecordError, match=message) as error:
    framing.count_records(path)
  assert path in str(error.value)
  assert 'download_and_convert_data.py' in str(error.value)


def test_a_damaged_length_is_found(path):
  damage(path, 27)
  with pytest.raises(ValueError, match=r'record 1 .* at byte 26 .* checksum of its header'):
    framing.count_records(path)


@pytest.mark.parametrize('compression', ['GZIP', 'ZLIB'])
def test_a_compressed_file_is_said_to_be_one(tmp_path, compression):
  path = str(tmp_path / 'd')
  with tf.io.TFRecordWriter(path, compression) as writer:
    writer.write(b'x')
  with pytest.raises(framing.CorruptRecordError, match=f'{path} is compressed: unpack it first'):
    framing.count_records(path)


def test_a_huge_length_with_a_right_checksum_is_found(tmp_path):
  path = tmp_path / 'c'
  length = struct.pack('<Q', 1 << 60)
  path.write_bytes(length + struct.pack('<I', framing.masked_crc32c(length)))
  with pytest.raises(framing.CorruptRecordError, match='bytes too short'):
    framing.count_records(str(path))


def test_find_corruption_of_whole_files(path):
  assert framing.find_corruption([path, path]) is None


def test_reading_files_is_progress(path, monkeypatch):
  """Other ranks may wait for this one."""
  moves = []
  monkeypatch.setattr(stall_utils, 'heartbeat', lambda: moves.append('record'))
  assert framing.count_records(path) == len(moves) == 3
  framing.find_corruption([path])
  assert len(moves) == 6


def test_find_corruption_reads_the_data_too(path, tmp_path):
  whole = make_data.write_records(tmp_path / 'whole', [b'z'])
  damage(path, 42 + 12 + 150)
  assert framing.count_records(path) == 3
  found = framing.find_corruption([whole, path])
  assert found.startswith(f'{path}: record 2 (from 0) at byte 42 is corrupt')
  assert 'convert the data set again' in found


def test_find_corruption_ends_in_time(path):
  truncate(path, 45)
  assert framing.find_corruption([path] * 100, seconds=0) is None


def test_find_corruption_of_a_truncated_file(path):
  truncate(path, 341)
  assert 'record 2 (from 0) at byte 42' in framing.find_corruption([path])
