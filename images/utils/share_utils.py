"""Which records a rank reads in which order: pure functions of (seed, epoch), ranks and files.

The records of an epoch form one sequence, file after file in the epoch's order of the files, and
every rank takes a piece of it: whole files, and parts of the files at the ends of the piece.
"""
import collections

import numpy as np

# What a rank reads in an epoch: of the files with the indices `files`, in that order, the records
# from `first` to before `last` (arrays of the same length); and the seed of their shuffling.
EpochShare = collections.namedtuple('EpochShare', ['files', 'first', 'last', 'shuffle_seed'])


def num_records(share):
  """Return the number of records of an EpochShare."""
  return int(np.sum(share.last - share.first))


def dealt(records, *, rank, size):
  """Return how many of `records` a rank gets if they are dealt out one by one."""
  return (records - rank + size - 1) // size


def records_before(epoch, total, *, rank, size, fixed=False):
  """Return how many records a rank reads before an epoch, if each epoch has `total` records.

  See epoch_share() for the other arguments.
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
  # Each rank gets as many records as if those of all epochs were dealt out one by one.
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
