"""Every record once per epoch, however often a run ends and goes on with other ranks."""
import itertools

import numpy as np
import pytest

from images.utils import position_utils, share_utils

COUNTS = [3, 1, 4, 0, 5]
RECORDS = sorted((file, number) for file, count in enumerate(COUNTS) for number in range(count))


def records_of(pieces):
  """Yield the (file, number) pairs of Pieces, the shares shuffled by their seeds."""
  for share, skip, take in pieces:
    records = [(file, number) for file, first, last in zip(share.files, share.first, share.last)
               for number in range(first, last)]
    order = np.random.RandomState(share.shuffle_seed).permutation(len(records))
    yield from [records[index] for index in order][skip:skip + take]


def stream(course, position, rank):
  """Yield the (file, number) pairs that a rank takes from a position on."""
  yield from records_of(course.rest(position, rank))
  yield from records_of(course.epochs(position, rank))


def launch(course, position, taking):
  """Return the position after a launch of ranks that take so many records, and these records."""
  position = course.for_ranks(position, len(taking))
  records = [list(itertools.islice(stream(course, position, rank), count))
             for rank, count in enumerate(taking)]
  *before, taken = position
  return [*before, [a + b for a, b in zip(taken, taking)]], sum(records, [])


def finish(course, position, epochs):
  """Return the records that the ranks of `position` have yet to take of so many epochs."""
  ends = [share_utils.records_before(epochs, len(RECORDS), rank=rank, size=len(position[-1]),
                                     fixed=course._fixed) for rank in range(len(position[-1]))]
  return launch(course, position, [end - taken for end, taken in zip(ends, position[-1])])[1]


@pytest.mark.parametrize('fixed', [False, True])
@pytest.mark.parametrize('launches', [
    [[5]],
    [[5], [2, 2]],
    [[3, 3], [4]],
    [[4, 4, 4], [3, 3]],  # Into the second epoch.
    [[2, 2], [1, 1, 1], [1], [1, 1, 1, 1, 1]],  # All in one epoch.
    [[2, 2], [0, 0, 0], [1, 1], [1, 1]],
    [[40, 40], [33, 33, 33], [9]],
    [[6, 8], [1, 1, 1], [7, 7]],  # One rank has skipped images, and is an epoch ahead.
])
def test_every_record_once_per_epoch(launches, fixed):
  course, position, seen = position_utils.Course(COUNTS, seed=7, fixed=fixed), [], []
  for taking in launches:
    position, records = launch(course, position, taking)
    seen += records
  epochs = 20
  seen += finish(course, position, epochs)
  assert sorted(seen) == sorted(RECORDS * epochs)


def test_the_epoch_in_which_the_ranks_change_is_read_before_the_next():
  course = position_utils.Course(COUNTS, seed=7)
  position, seen = [], []
  for taking in ([4, 4], [1, 1], [1]):
    position, records = launch(course, position, taking)
    seen += records
  assert sorted(seen + finish(course, position, 1)) == RECORDS


@pytest.mark.parametrize('fixed', [False, True])
@pytest.mark.parametrize('before', [[], [[2, 2]], [[9, 9], [19]]])
def test_from_any_position_on_the_records_of_an_unbroken_run(before, fixed):
  course = position_utils.Course(COUNTS, seed=7, fixed=fixed)
  start = course.for_ranks(before, 3)
  for rank in range(3):
    unbroken = list(itertools.islice(stream(course, start, rank), 40))
    for taken in range(30):
      position = [*start[:-1], list(start[-1])]
      position[-1][rank] += taken
      resumed = stream(course, course.for_ranks(position, 3), rank)
      assert list(itertools.islice(resumed, 10)) == unbroken[taken:taken + 10]


def test_other_ranks_go_on_at_level_counts():
  course = position_utils.Course([1000], seed=7)
  assert course.for_ranks([[20, 20]], 1) == [[20, 20], [40]]
  assert course.for_ranks([[20, 20]], 3) == [[20, 20], [14, 13, 13]]
  assert course.for_ranks([[20, 20], [30]], 2) == [[20, 20], [30], [15, 15]]


def test_what_is_read_to_its_end_is_forgotten():
  course = position_utils.Course([12], seed=7)
  assert course.for_ranks([[6, 6]], 3) == [[4, 4, 4]]
  assert course.for_ranks([[3, 3], [11]], 1) == [[3, 3], [11]]
  assert course.for_ranks([[3, 3], [12]], 1) == [[12]]
  assert course.for_ranks([], 2) == [[0, 0]]


def test_only_records_in_memory_have_to_be_as_many_as_ranks():
  counts = [1, 1]
  with pytest.raises(ValueError, match='2 training records for 3 ranks.*start fewer ranks'):
    position_utils.Course(counts, seed=7, fixed=True).for_ranks([], 3)
  course = position_utils.Course(counts, seed=7)
  _, records = launch(course, [], [4, 4, 4])
  assert sorted(records) == [(0, 0)] * 6 + [(1, 0)] * 6


@pytest.mark.parametrize('counts', [[100], [1]])
def test_other_files_than_before_are_read_too(counts):
  """Which of their records come how often is another matter."""
  course = position_utils.Course(counts, seed=7, fixed=True)
  start = course.for_ranks([[9, 9], [16]], 1)
  records = list(itertools.islice(stream(course, start, 0), 200))
  assert set(records) == {(0, number) for number in range(counts[0])}


def test_where_a_count_lies_before_the_beginning_only_what_is_left_is_read():
  """As of other files than before: one of four records."""
  [piece] = position_utils.Course([4], seed=7).rest([[3], [1]], 0)
  assert (piece.skip, piece.take) == (3, 1)


@pytest.mark.parametrize('position', [[[7]], [[5, 5, 6], [16]], [[1], [0, 0]]])
def test_a_position_survives_as_an_array(position):
  matrix = position_utils.to_matrix(position)
  assert matrix.dtype == np.int64
  assert position_utils.from_matrix(matrix) == position
