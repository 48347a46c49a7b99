"""How far a run has read its training data, and what each rank reads next.

A position is a list of lists of ints, one list per launch: how many records each rank has taken.
The last list belongs to the current ranks. Earlier launches with another number of ranks stay
listed until the epochs that they began are read to the end: their remaining records, rank after
rank, form one sequence, of which each rank of the next launch takes a piece. Then the ranks share
whole epochs again, with counts as if there had never been another number of ranks.
"""
import collections
import functools
import itertools

import numpy as np

from images.utils import share_utils

# `take` records after the first `skip` of the shuffled records of an EpochShare.
Piece = collections.namedtuple('Piece', ['share', 'skip', 'take'])


class Course:
  """The order in which a run reads its training data, as pure functions of positions."""

  def __init__(self, counts, *, seed, fixed=False):
    """See share_utils.epoch_share() for the arguments."""
    self._total, self._fixed = sum(counts), fixed
    # Cached, as the remainders of earlier launches need the share of each of their ranks.
    self._share = functools.lru_cache(4096)(functools.partial(
        share_utils.epoch_share, counts=counts, seed=seed, fixed=fixed))

  def for_ranks(self, position, size):
    """Return the position from which `size` ranks continue a run that is at `position`.

    Args:
      position: a position, [] for a new run.
      size: int, the number of ranks.

    Raises:
      ValueError: a rank has no records at all.
    """
    if self._fixed and self._total < size:
      raise ValueError(f'{self._total} training records for {size} ranks, of which each keeps its '
                       'own in memory: start fewer ranks, or leave out --datasets_use_caching')
    if not position:
      return [[0] * size]
    if len(position[-1]) != size:
      position = [*position, self._begins(position, size)]
    *before, taken = position
    left = any(count < end for count, end in zip(taken, self._ends(before, size)))
    return position if left else [taken]

  def rest(self, position, rank):
    """Return the list of Pieces that a rank still takes of what earlier launches have left."""
    return self._rests(position)[rank]

  def epochs(self, position, rank):
    """Yield, without end, the Pieces of a rank in the epochs that follow."""
    *before, taken = position
    size = len(taken)
    number = max(taken[rank], self._ends(before, size)[rank])
    for epoch in itertools.count(self._epoch(number, rank, size)):
      share = self._share(epoch, rank=rank, size=size)
      skip = max(0, number - self._records_before(epoch, rank, size))
      if skip < share_utils.num_records(share):
        yield Piece(share, skip, share_utils.num_records(share) - skip)

  def _rests(self, position):
    """Return the rest() of every rank."""
    *before, taken = position
    begins, ends = self._begins(before, len(taken)), self._ends(before, len(taken))
    row = self._left(before)
    starts = itertools.accumulate((end - begin for begin, end in zip(begins, ends)), initial=0)
    # If the files or flags have changed since, a count may lie before the beginning.
    return [list(_cut(row, start + max(0, count - begin), end - count))
            for start, begin, count, end in zip(starts, begins, taken, ends)]

  def _left(self, position):
    """Return the row of Pieces that the ranks of `position` have left of the epochs begun."""
    row = []
    if position:
      ends = self._ends(position, len(position[-1]))
      for rank, (rest, count) in enumerate(zip(self._rests(position), position[-1])):
        pieces = itertools.chain(rest, self.epochs(position, rank))
        row += _cut(pieces, 0, ends[rank] - count)
    return row

  def _begins(self, before, size):
    """Return the counts at which `size` ranks begin if the ranks before them ended at `before`."""
    all_read = self._epochs_begun(before) * self._total
    done = sum(before[-1]) if before else 0
    def left(rank):
      dealt = [share_utils.dealt(records, rank=rank, size=size) for records in (all_read, done)]
      return dealt[0] - dealt[1]
    return [end - left(rank) for rank, end in enumerate(self._ends(before, size))]

  def _ends(self, before, size):
    """Return the counts of `size` ranks when all epochs begun at `before` are read."""
    epochs = self._epochs_begun(before)
    return [self._records_before(epochs, rank, size) for rank in range(size)]

  def _epochs_begun(self, position):
    """Return from how many epochs the ranks of `position` have taken records."""
    return max((self._epoch(taken - 1, rank, len(row)) + 1
                for row in position for rank, taken in enumerate(row) if taken), default=0)

  def _epoch(self, number, rank, size):
    """Return the epoch of a record of one of `size` ranks, its `number` counted from 0."""
    if self._fixed:
      # The files of an earlier launch may have had records for ranks that have none now.
      return number // max(1, share_utils.dealt(self._total, rank=rank, size=size))
    return (number * size + rank) // self._total

  def _records_before(self, epoch, rank, size):
    return share_utils.records_before(epoch, self._total, rank=rank, size=size, fixed=self._fixed)


def _cut(pieces, skip, take):
  """Yield the Pieces without their first `skip` records, and with `take` records at most."""
  for piece in pieces:
    if take <= 0:
      return
    passed = min(skip, piece.take)
    length = min(piece.take - passed, take)
    skip, take = skip - passed, take - length
    if length:
      yield Piece(piece.share, piece.skip + passed, length)


def to_matrix(position):
  """Return a position as an int64 array [launches, ranks], with -1 for ranks a launch lacks."""
  width = max(map(len, position))
  return np.array([row + [-1] * (width - len(row)) for row in position], np.int64)


def from_matrix(matrix):
  """Return the position that to_matrix() turned into `matrix`."""
  return [[int(taken) for taken in row if taken >= 0] for row in np.atleast_2d(matrix)]
