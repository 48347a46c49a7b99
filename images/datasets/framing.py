"""Counts and checks the records of a TFRecord file without parsing them.

A record is framed as: its length (uint64), the masked crc32c of those 8 bytes
(uint32), the data, the masked crc32c of the data (uint32), all little-endian
(tensorflow/core/lib/io/record_writer.h).
"""
import math
import os
import struct
import time

from images.utils import stall_utils
from images.utils.tf1 import tf

_HEADER = struct.Struct('<QI')
_FOOTER_BYTES = 4
# The first bytes of files that are compressed as a whole, by gzip or zlib.
_COMPRESSED = (b'\x1f\x8b', b'\x78\x01', b'\x78\x9c', b'\x78\xda')
_REMEDY = 'copy the file again, or convert the data set again with download_and_convert_data.py'


class CorruptRecordError(ValueError):
  """A TFRecord file is truncated or damaged."""


def count_records(path):
  """Return the number of records of a TFRecord file, reading only their headers.

  Args:
    path: string, a file on any file system that `tf.io.gfile` opens.

  Raises:
    CorruptRecordError: the file ends within a record, or the checksum of a header
      is wrong; the message has the file, the record (from 0) and the byte offset.
  """
  size = tf.io.gfile.stat(path).length
  count = offset = 0
  with _open(path) as file:
    while offset < size:
      file.seek(offset)
      end = offset + _record_bytes(file.read(_HEADER.size), path, count, offset)
      if end > size:
        raise _corrupt(path, count, offset, f'the file is {end - size} bytes too short')
      count, offset = count + 1, end
      stall_utils.heartbeat()
  return count


def find_corruption(paths, seconds=math.inf):
  """Return a sentence about the first corrupt file of `paths`, or None if none is found.

  Reads every byte with TensorFlow's own reader, which verifies the checksums: meant for use
  after a run has ended with a DataLossError, which does not name the file.

  Args:
    paths: list of strings.
    seconds: number, the time after which the search ends.
  """
  deadline = time.monotonic() + seconds
  for path in paths:
    if time.monotonic() >= deadline:
      return None
    # Without GPUs: a run that has just died may still hold their memory.
    config = tf.ConfigProto(device_count={'GPU': 0})
    with tf.Graph().as_default(), tf.Session(config=config) as session:
      record = tf.data.make_one_shot_iterator(tf.data.TFRecordDataset(path)).get_next()
      error = _read_to_end(session, record, path, deadline)
    if error is not None:
      return str(error)
  return None


def _read_to_end(session, record, path, deadline):
  """Read a file to its end or the deadline; return a CorruptRecordError, or None without one."""
  count = offset = 0
  while time.monotonic() < deadline:
    try:
      offset += _HEADER.size + len(session.run(record)) + _FOOTER_BYTES
    except tf.errors.OutOfRangeError:
      return None
    except tf.errors.DataLossError:
      return _corrupt(path, count, offset, 'its data is damaged or cut short')
    count += 1
    stall_utils.heartbeat()
  return None


def _open(path):
  """Open `path` for reading; local files without GFile, which reads 512 KB ahead at each seek."""
  return open(path, 'rb') if os.path.isfile(path) else tf.io.gfile.GFile(path, 'rb')


def _record_bytes(header, path, count, offset):
  """Check the header of a record, and return the record's framed length in bytes."""
  if len(header) < _HEADER.size:
    raise _corrupt(path, count, offset, 'the file ends within its header')
  length, checksum = _HEADER.unpack(header)
  if checksum != masked_crc32c(header[:8]):
    if offset == 0 and header.startswith(_COMPRESSED):
      raise CorruptRecordError(f'{path} is compressed: unpack it first, such as with gunzip')
    raise _corrupt(path, count, offset, 'the checksum of its header is wrong')
  return _HEADER.size + length + _FOOTER_BYTES


def _corrupt(path, count, offset, reason):
  return CorruptRecordError(
      f'{path}: record {count} (from 0) at byte {offset} is corrupt: {reason}; {_REMEDY}')


def _crc32c_table():
  """Return the 256 remainders of the Castagnoli polynomial, bit-reversed (RFC 3720, B.4)."""
  table = []
  for remainder in range(256):
    for _ in range(8):
      remainder = (remainder >> 1) ^ (0x82F63B78 if remainder & 1 else 0)
    table.append(remainder)
  return table


_TABLE = _crc32c_table()


def masked_crc32c(data):
  """Return the crc32c of `data` as TFRecord stores it: rotated right by 15, plus a constant.

  Pure Python, which is enough for the 8 bytes of a length.
  """
  crc = 0xFFFFFFFF
  for byte in data:
    crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
  crc ^= 0xFFFFFFFF
  return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
