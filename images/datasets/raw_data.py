"""What a data set hands to the conversion: its classes and its raw images, not yet read."""
import math
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

# Which image is for training is decided by this and the order of the names alone.
_SEED = 20190607


class ConversionError(Exception):
  """A conversion that cannot go on; the message is one line that says what to do."""


class RawImage(NamedTuple):
  """One image: where it came from, its label, and how to get its contents.

  `read()` returns the bytes of an image file, or a uint8 array [height, width] (grey)
  or [height, width, 3] (RGB).
  """
  filename: str
  label: int
  read: Callable


class Split(NamedTuple):
  """The training or the test part: the names of its files, and its images in order.

  Image k goes into file k modulo the number of files, so that all files get equally many.
  """
  files: Sequence[str]
  images: Sequence[RawImage]


class RawData(NamedTuple):
  """A data set before conversion: the class names in the order of their labels; two parts."""
  classes: Sequence[str]
  train: Split
  test: Split


def from_arrays(part, pixels, labels):
  """Return RawImages `<part>/<row>` of a uint8 array [n, height, width(, 3)] and n labels."""
  return [RawImage(f'{part}/{row:05d}', int(label), lambda row=row: pixels[row])
          for row, label in enumerate(labels)]


def shuffled(items):
  """Return `items` as a list in an order that depends on their number only."""
  items = list(items)
  random.Random(_SEED).shuffle(items)
  return items


def hold_out(groups, fraction):
  """Split every group, which is sorted, into a training and a held-out part.

  Every group keeps at least one item for training. What rounding takes from one group
  it gives to the next, so that the whole gets its proportion too.

  Args:
    groups: list of non-empty lists.
    fraction: float in [0, 1), the held-out proportion.

  Returns:
    Two lists of items, training and held out.
  """
  train, held_out = [], []
  carry = 0.0
  for group in groups:
    due = carry + fraction * len(group)
    count = max(0, min(math.floor(due + 0.5), math.ceil(fraction * len(group)), len(group) - 1))
    # Groups of one can give nothing; their share is not heaped on a later group.
    carry = max(-0.5, min(due - count, 0.5))
    group = shuffled(group)
    held_out += group[:count]
    train += group[count:]
  return train, held_out
