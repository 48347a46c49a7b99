import pytest

from images.datasets import raw_data


def test_shuffled_is_a_fixed_permutation():
  items = list(range(50))
  assert raw_data.shuffled(items) == raw_data.shuffled(tuple(items))
  assert sorted(raw_data.shuffled(items)) == items == list(range(50))
  assert raw_data.shuffled(items) != items
  # Pinned: another order would move images between the training and the test part.
  assert raw_data.shuffled(range(8)) == [5, 3, 0, 2, 6, 1, 7, 4]
  assert raw_data.hold_out([list(range(10))], 0.2)[1] == [8, 0]


@pytest.mark.parametrize(('sizes', 'fraction', 'held_out'), [
    ([10, 20, 5], 0.2, [2, 4, 1]),
    ([10, 20], 0.0, [0, 0]),
    ([2, 2, 2, 2, 2], 0.2, [0, 1, 0, 1, 0]),  # a fifth of all, though of none on its own
    ([1, 1, 1, 10], 0.5, [0, 0, 0, 5]),  # single items are for training
    ([1] * 8 + [4, 4, 4], 0.3, [0] * 8 + [2, 1, 1]),  # and no later group makes up for them
    ([3], 0.99, [2]),
])
def test_hold_out_a_fraction_of_every_group(sizes, fraction, held_out):
  groups = [[(group, k) for k in range(size)] for group, size in enumerate(sizes)]
  train, test = raw_data.hold_out(groups, fraction)
  assert [sum(item[0] == group for item in test) for group in range(len(sizes))] == held_out
  assert sorted(train + test) == [item for group in groups for item in group]


def test_from_arrays():
  array = raw_data.from_arrays('test', [[1], [2]], [7, 8])
  assert [(raw.filename, raw.label, raw.read()) for raw in array] == [
      ('test/00000', 7, [1]), ('test/00001', 8, [2])]
