"""Flags of closed choices."""
import sys

import pytest
from absl import flags
from absl.testing import flagsaver

from images.utils import flag_utils

_ANIMALS = ['cat', 'dog', 'catfish']


@pytest.fixture(scope='module', autouse=True)
def _pet():
  flag_utils.define_enum('pet', 'dog', _ANIMALS, 'Animal at home.')
  yield
  delattr(flags.FLAGS, 'pet')


@flagsaver.flagsaver()
def test_a_choice_is_taken():
  assert flags.FLAGS['pet'].value == 'dog'
  flags.FLAGS['pet'].parse('cat')
  assert flags.FLAGS['pet'].value == 'cat'
  assert flags.FLAGS['pet'].help == '<cat|dog|catfish>: Animal at home.'


def test_another_value_lists_the_choices_nearest_first():
  with pytest.raises(flags.IllegalFlagValueError) as error:
    flags.FLAGS['pet'].parse('catfis')
  assert str(error.value) == ("flag --pet=catfis: unknown value: 'catfis'; known, nearest first: "
                              'catfish, cat, dog')


def test_a_flag_belongs_to_the_module_that_defines_it():
  module = sys.modules[__name__]
  assert [flag.name for flag in flags.FLAGS.get_key_flags_for_module(module)] == ['pet']
