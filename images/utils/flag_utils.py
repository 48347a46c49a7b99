"""Defines flags of three types: a choice, with help for misspellings; finite numbers; paths."""
import math
import os

from absl import flags

from images.utils import name_utils

flags.disclaim_key_flags()  # A flag belongs to the module that calls define_*().


class _EnumParser(flags.EnumParser):
  """Rejects a value that is not one of the choices, and lists these nearest first."""

  def parse(self, argument):
    return name_utils.lookup({value: value for value in self.enum_values}, argument, 'value')


def define_enum(name, default, enum_values, description):
  """Define a flag as flags.DEFINE_enum() does.

  Args:
    name: string.
    default: one of `enum_values`, or None.
    enum_values: list of strings.
    description: string, its help text.
  """
  flag = flags.EnumFlag(name, default, description, enum_values)
  flag.parser = _EnumParser(enum_values)
  flags.DEFINE_flag(flag)


class _FiniteParser(flags.FloatParser):
  """Rejects infinities, nan, which would pass any bounds, and values not less than `below`."""

  def __init__(self, lower_bound, upper_bound, below):
    super().__init__(lower_bound, upper_bound)
    self._below = math.inf if below is None else below

  def convert(self, argument):
    value = super().convert(argument)
    if not math.isfinite(value):
      raise ValueError('not a finite number')
    if value >= self._below:
      raise ValueError(f'not less than {self._below}')
    return value


def define_float(name, default, description, *, lower_bound=None, upper_bound=None, below=None):
  """Define a flag as flags.DEFINE_float() does; its value must be finite and less than `below`."""
  flags.DEFINE(_FiniteParser(lower_bound, upper_bound, below), name, default, description,
               serializer=flags.ArgumentSerializer())


class _PathParser(flags.ArgumentParser):
  """Expands ~ at the start of each path; a shell does so only at the start of a word."""

  def parse(self, argument):
    return ','.join(os.path.expanduser(path.strip() if path.lstrip().startswith('~') else path)
                    for path in argument.split(','))


def define_path(name, default, description):
  """Define a flag as flags.DEFINE_string() does; its value is one or more comma-separated paths."""
  flags.DEFINE(_PathParser(), name, default, description, serializer=flags.ArgumentSerializer())
