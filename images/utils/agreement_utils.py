"""Checks that the ranks agree, as they would otherwise train different things or hang."""
import collections
import hashlib
import json

from images.utils import cluster_utils

# The most differences that an error message lists.
_MANY = 10


def check(what, facts):
  """Make sure that every rank has the same `facts`.

  Args:
    what: string, what the facts are about.
    facts: dict from strings to JSON values.

  Raises:
    ValueError: on every rank, if any of them differ; the message says what differs.
  """
  digest = hashlib.sha256(_text(facts).encode()).hexdigest()
  if len(set(cluster_utils.gather_objects(digest))) == 1:
    return
  differences = _differences(cluster_utils.gather_objects(facts))
  more = len(differences) - _MANY
  raise ValueError(f'the ranks must have the same {what}, but differ: '
                   + '; '.join(differences[:_MANY]) + (f'; and {more} more' if more > 0 else ''))


def _differences(facts_of_ranks):
  """Return a string for each name whose value is not the same in all `facts_of_ranks`."""
  differences = []
  for name in sorted(set().union(*facts_of_ranks)):
    ranks_of_values = collections.defaultdict(list)
    for rank, facts in enumerate(facts_of_ranks):
      ranks_of_values[_text(facts[name]) if name in facts else 'missing'].append(rank)
    if len(ranks_of_values) > 1:
      differences.append(f'{name}: ' + ', '.join(
          f'{value} on rank {str(ranks)[1:-1]}' for value, ranks in ranks_of_values.items()))
  return differences


def _text(value):
  return json.dumps(value, sort_keys=True, default=str)
