"""What a data set passes to the conversion: its classes and its raw images, not yet read."""
import math
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

# This and the order of the names alone decide which images are for training.
_SEED = 20190607


class ConversionError(Exception):
  """A conversion cannot continue; the message is one line that says what to do."""


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

  The k-th decodable image goes into file k modulo the number of files, so that the files have
  equally many images, give or take one.
  """
  files: Sequence[str]
  images: Sequence[RawImage]


class RawData(NamedTuple):
  """A data set before conversion: the class names in the order of their labels, and two parts."""
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
  """Split every group into a training and a held-out part, always in the same way.

  Every group keeps at least one item for training. Rounding errors are carried over to the
  next group, so that the whole has the given proportion as well.

  Args:
    groups: list of non-empty lists, each in a fixed order.
    fraction: float in [0, 1), the held-out proportion.

  Returns:
    Two lists of items, training and held out.
  """
  train, held_out = [], []
  carry = 0.0
  for group in groups:
    due = carry + fraction * len(group)
    count = max(0, min(math.floor(due + 0.5), math.ceil(fraction * len(group)), len(group) - 1))
    # Groups of one item hold nothing out; their share must not pile up on a later group.
    carry = max(-0.5, min(due - count, 0.5))
    group = shuffled(group)
    held_out += group[:count]
    train += group[count:]
  return train, held_out
