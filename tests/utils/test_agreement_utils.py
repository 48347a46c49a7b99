"""Ranks whose facts are told here; test_ranks.py has real ones."""
import re

import pytest

from images.utils import agreement_utils, cluster_utils


def sent(monkeypatch, facts):
  """Return what a rank sends the others, which have the same."""
  values = []
  monkeypatch.setattr(cluster_utils, 'gather_objects', lambda own: values.append(own) or [own] * 2)
  agreement_utils.check('flags', facts)
  return values


def test_ranks_that_agree_exchange_a_digest(monkeypatch):
  [digest] = sent(monkeypatch, {'--seed': 1, '--files': ['a', 'b']})
  assert re.fullmatch('[0-9a-f]{64}', digest)
  assert sent(monkeypatch, {'--files': ('a', 'b'), '--seed': 1}) == [digest]
  assert sent(monkeypatch, {'--files': ['a', 'b'], '--seed': 2}) != [digest]


def check_on_ranks(monkeypatch, *facts_of_ranks):
  monkeypatch.setattr(cluster_utils, 'gather_objects', lambda own: (
      list(facts_of_ranks) if isinstance(own, dict) else ['a digest', 'another']))
  agreement_utils.check('flags', facts_of_ranks[0])


def test_what_differs_is_told_with_the_ranks(monkeypatch):
  with pytest.raises(ValueError, match=re.escape(
      'the ranks must have the same flags, but differ: '
      '--more: missing on rank 0, 2, null on rank 1; --seed: 1 on rank 0, 1, 2 on rank 2') + '$'):
    check_on_ranks(monkeypatch, {'--seed': 1, '--x': 0}, {'--seed': 1, '--x': 0, '--more': None},
                   {'--seed': 2, '--x': 0})


@pytest.mark.parametrize(('many', 'end'), [
    (10, '; 9: 9 on rank 0, 10 on rank 1'), (11, '; 9: 9 on rank 0, 10 on rank 1; and 1 more')])
def test_ten_differences_are_enough(monkeypatch, many, end):
  places = {name: place for place, name in enumerate([*'0123456789z'][:many])}
  with pytest.raises(ValueError, match=re.escape(end) + '$'):
    check_on_ranks(monkeypatch, places, {name: place + 1 for name, place in places.items()})
