"""Which records a rank reads in which order: pure functions of (seed, epoch), ranks and files.

The records of an epoch stand in one row, file after file in the epoch's order of the files,
and every rank takes a piece of it: whole files, and parts of the files at the piece's ends.
"""
import collections

import numpy as np

# What a rank reads in an epoch: of the files with the indices `files`, in that order, the
# records from `first` to before `last` (arrays of one length); and the seed of their shuffling.
EpochShare = collections.namedtuple('EpochShare', ['files', 'first', 'last', 'shuffle_seed'])


def num_records(share):
  """Return the number of records of an EpochShare."""
  return int(np.sum(share.last - share.first))


def dealt(records, *, rank, size):
  """Return how many of `records` a rank gets where they are dealt out one by one."""
  return (records - rank + size - 1) // size


def records_before(epoch, total, *, rank, size, fixed=False):
  """Return how many records a rank reads before an epoch, all of `total` records.

  The other arguments are as of epoch_share().
  """
  if fixed:
    return epoch * dealt(total, rank=rank, size=size)
  return dealt(epoch * total, rank=rank, size=size)


def epoch_share(epoch, counts, *, rank, size, seed, fixed=False):
  """Return the EpochShare of a rank; the shares of all ranks partition the records.

  No rank is ever more than one record ahead of another, over all epochs, unless `fixed`.

  Args:
    epoch: int, counted from 0.
    counts: list of ints, the number of records in each file.
    rank: int in [0, size).
    size: int, the number of ranks.
    seed: int, the seed of the run.
    fixed: bool, whether the rank reads the same records, in files order, in every epoch.
  """
  random = np.random.RandomState([seed % 2 ** 32, epoch])
  shuffle_seed = random.randint(1, 2 ** 31)
  files, ranks = np.arange(len(counts)), np.arange(size)
  if not fixed:
    files, ranks = random.permutation(files), random.permutation(ranks)
  # As many records as in dealing out those of all epochs one by one.
  before, after = (records_before(number, sum(counts), rank=ranks, size=size, fixed=fixed)
                   for number in (epoch, epoch + 1))
  ends = np.cumsum(after - before)
  piece = int(np.flatnonzero(ranks == rank)[0])
  start, end = (0 if piece == 0 else ends[piece - 1]), ends[piece]

  lengths = np.asarray(counts)[files]
  begins = np.cumsum(lengths) - lengths
  first, last = (np.clip(place - begins, 0, lengths) for place in (start, end))
  read = first < last
  return EpochShare(files[read], first[read], last[read], shuffle_seed)
