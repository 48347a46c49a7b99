"""Looks up a name in a table; the error for an unknown name helps to correct it."""
import difflib


def lookup(table, name, kind):
  """Return `table[name]`.

  Args:
    table: dict from names to anything.
    name: string, the wanted name.
    kind: string, what the names stand for, with the flag if there is one,
      such as 'model (--model_name)'.

  Raises:
    ValueError: the table has no such name; the message lists the known names,
      the most similar one first.
  """
  if name in table:
    return table[name]
  raise ValueError(f'unknown {kind}: {name!r}; known, nearest first: '
                   f'{", ".join(nearest_first(table, name))}')


def nearest_first(names, wanted):
  """Return `names` as a list, sorted by falling similarity to the string `wanted`."""
  def similarity(name):
    return difflib.SequenceMatcher(None, str(wanted), name).ratio()
  return sorted(names, key=lambda name: (-similarity(name), name))
