"""Flags of closed choices, and of finite numbers."""
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


@pytest.fixture(scope='module', autouse=True)
def _weight():
  flag_utils.define_float('weight', 4.5, 'Of the animal, in kg.', lower_bound=0, upper_bound=80)
  yield
  delattr(flags.FLAGS, 'weight')


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
  assert [flag.name for flag in flags.FLAGS.get_key_flags_for_module(module)] == [
      'pet', 'weight']


@flagsaver.flagsaver()
def test_a_number_is_taken():
  flags.FLAGS['weight'].parse('80')
  assert flags.FLAGS['weight'].value == 80.0
  assert flags.FLAGS['weight'].flag_type() == 'float'
  assert flags.FLAGS['weight'].serialize() == '--weight=80.0'


@pytest.mark.parametrize(('value', 'reason'), [
    ('nan', 'not a finite number'), ('1e400', 'not a finite number'),
    ('-1', 'is not a number in the range'), ('81', 'is not a number in the range'),
    ('heavy', 'could not convert string to float')])
def test_another_number_is_an_error(value, reason):
  with pytest.raises(flags.IllegalFlagValueError, match=f'flag --weight={value}: .*{reason}'):
    flags.FLAGS['weight'].parse(value)
