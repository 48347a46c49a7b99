import pytest

from images.utils import record_utils, stall_utils
from images.utils.tf1 import tf
from tests.datasets import make_data


@pytest.fixture
def paths(tmp_path):
  """Files a, b, c of 20 records each: a0, a1, and so on."""
  return [make_data.write_records(tmp_path / name, [f'{name}{k}'.encode() for k in range(20)])
          for name in 'abc']


def read(paths, first, last):
  """Return [(path, number, record)] of parts of files."""
  found = []
  with tf.Graph().as_default(), tf.Session() as session:
    dataset = record_utils.interleave(paths, tf.constant(first, tf.int64),
                                      tf.constant(last, tf.int64))
    element = tf.data.make_one_shot_iterator(dataset).get_next()
    while True:
      try:
        path, number, record = session.run(element)
      except tf.errors.OutOfRangeError:
        return found
      found.append((path.decode(), int(number), record.decode()))


def test_files_take_turns_in_blocks_of_16(paths):
  assert [record for _, _, record in read(paths[:2], [0, 0], [20, 20])] == [
      *(f'a{k}' for k in range(16)), *(f'b{k}' for k in range(16)),
      *(f'a{k}' for k in range(16, 20)), *(f'b{k}' for k in range(16, 20))]


def test_parts_of_files(paths):
  assert read([paths[2], paths[0]], [18, 0], [20, 1]) == [
      (paths[2], 18, 'c18'), (paths[2], 19, 'c19'), (paths[0], 0, 'a0')]


@pytest.mark.parametrize(('first', 'times'), [(0, 5), (12, 2)])
def test_what_is_read_is_progress(paths, monkeypatch, first, times):
  """In one file too, of which a resume may have much to skip."""
  told = []
  monkeypatch.setattr(stall_utils, 'heartbeat', lambda: told.append(first))
  monkeypatch.setattr(record_utils, '_RECORDS_PER_HEARTBEAT', 4)
  read(paths[:1], [first], [20])
  assert len(told) == times + 1  # It asks for a path more than there are records.


def test_a_file_that_has_become_shorter(paths):
  with pytest.raises(tf.errors.InvalidArgumentError,
                     match=rf'{paths[1]}\] \[has fewer than\] \[21\] \[records now: restore it'):
    read(paths[1:2], [0], [21])
