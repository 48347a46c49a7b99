"""Which rank reads what: every record once, equally many, each epoch in another order."""
import numpy as np
import pytest

from images.utils import share_utils

COUNTS = {1: [11], 5: [3, 1, 4, 1, 5], 6: [2, 3, 2, 9, 0, 1], 7: [2, 7, 1, 8, 2, 8, 6]}


def records_of(share):
  """Return the (file, number) pairs of an EpochShare, by its definition."""
  return [(file, number) for file, first, last in zip(share.files, share.first, share.last)
          for number in range(first, last)]


@pytest.mark.parametrize('fixed', [False, True])
@pytest.mark.parametrize('num_files', COUNTS)
@pytest.mark.parametrize('size', [1, 2, 3, 5])
def test_the_shares_of_all_ranks_partition_the_records(size, num_files, fixed):
  counts = COUNTS[num_files]
  everything = sorted((f, n) for f, count in enumerate(counts) for n in range(count))
  for epoch in range(4):
    shares = [share_utils.epoch_share(epoch, counts, rank=rank, size=size, seed=7, fixed=fixed)
              for rank in range(size)]
    records = [records_of(share) for share in shares]
    assert sorted(sum(records, [])) == everything
    assert [share_utils.num_records(share) for share in shares] == [len(r) for r in records]


@pytest.mark.parametrize('num_files', COUNTS)
@pytest.mark.parametrize('size', [2, 3])
def test_no_rank_gets_more_than_one_record_ahead(size, num_files):
  """Over all epochs together."""
  taken = np.zeros(size, int)
  for epoch in range(7):
    shares = [share_utils.epoch_share(epoch, COUNTS[num_files], rank=rank, size=size, seed=7)
              for rank in range(size)]
    taken += [share_utils.num_records(share) for share in shares]
    assert np.ptp(taken) <= 1


def test_whole_files_where_they_divide_evenly():
  shares = [share_utils.epoch_share(0, [2] * 6, rank=rank, size=3, seed=7) for rank in range(3)]
  assert [(len(share.files), *share.first, *share.last) for share in shares] == [
      (2, 0, 0, 2, 2)] * 3


def test_at_most_two_files_of_a_share_are_not_whole():
  counts = [9, 11, 10, 12, 8, 10]
  for rank in range(4):
    share = share_utils.epoch_share(3, counts, rank=rank, size=4, seed=7)
    whole = (share.first == 0) & (share.last == np.asarray(counts)[share.files])
    assert np.sum(~whole) <= 2


def test_the_only_file_is_not_halved_in_the_same_way_for_ever():
  starts = {int(share_utils.epoch_share(epoch, [10], rank=0, size=2, seed=7).first[0])
            for epoch in range(20)}
  assert starts == {0, 5}


def test_the_order_is_a_function_of_seed_and_epoch():
  def order(seed, epoch):
    share = share_utils.epoch_share(epoch, [1] * 20, rank=0, size=1, seed=seed)
    return (*share.files, share.shuffle_seed)
  assert order(7, 3) == order(7, 3)
  orders = {order(seed, epoch) for seed in (7, 8, -1) for epoch in range(5)}
  assert len(orders) == 15


def test_a_fixed_share_has_the_same_records_in_every_epoch():
  shares = [share_utils.epoch_share(epoch, COUNTS[5], rank=1, size=2, seed=7, fixed=True)
            for epoch in range(3)]
  assert [records_of(share) for share in shares] == [records_of(shares[0])] * 3
  assert len({share.shuffle_seed for share in shares}) == 3


@pytest.mark.parametrize('fixed', [False, True])
@pytest.mark.parametrize(('rank', 'size'), [(0, 1), (0, 2), (1, 2), (2, 3)])
def test_how_many_records_come_before_an_epoch(rank, size, fixed):
  records = 0
  for epoch in range(7):
    assert share_utils.records_before(epoch, 14, rank=rank, size=size, fixed=fixed) == records
    share = share_utils.epoch_share(epoch, COUNTS[5], rank=rank, size=size, seed=7, fixed=fixed)
    records += share_utils.num_records(share)
