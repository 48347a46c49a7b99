"""Flags of closed choices, which help whoever misspelled one."""
from absl import flags

from images.utils import name_utils

flags.disclaim_key_flags()  # A flag belongs to the module that calls define_enum().


class _EnumParser(flags.EnumParser):
  """Lists the choices nearest first where a value is none of them."""

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
