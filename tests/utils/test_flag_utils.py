"""Flags of closed choices, of finite numbers, and of paths."""
import os
import sys

import pytest
from absl import flags
from absl.testing import flagsaver

from images.utils import flag_utils

_ANIMALS = ['cat', 'dog', 'catfish']


@pytest.fixture(scope='module', autouse=True)
def _flags():
  flag_utils.define_enum('pet', 'dog', _ANIMALS, 'Animal at home.')
  flag_utils.define_float('weight', 4.5, 'Of the animal, in kg.', lower_bound=0, upper_bound=80)
  flag_utils.define_float('share', None, 'Of the food.', lower_bound=0, below=1)
  flag_utils.define_path('home', None, 'Where the animal lives.')
  yield
  for name in ('pet', 'weight', 'share', 'home'):
    delattr(flags.FLAGS, name)


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
      'pet', 'weight', 'share', 'home']


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


@flagsaver.flagsaver()
def test_a_number_below_a_bound():
  flags.FLAGS['share'].parse('0.999')
  with pytest.raises(flags.IllegalFlagValueError, match='flag --share=1: not less than 1'):
    flags.FLAGS['share'].parse('1')


@flagsaver.flagsaver()
@pytest.mark.parametrize(('value', 'path'), [
    ('~/a', '/home/me/a'), ('~', '/home/me'), ('x/~', 'x/~'), ('gs://a/b', 'gs://a/b'),
    ('a.jpg, ~/b*.jpg', 'a.jpg,/home/me/b*.jpg'), (' a,b ', ' a,b ')])
def test_the_home_directory_in_a_path(monkeypatch, value, path):
  monkeypatch.setitem(os.environ, 'HOME', '/home/me')
  flags.FLAGS['home'].parse(value)
  assert flags.FLAGS['home'].value == path
  assert flags.FLAGS['home'].flag_type() == 'string'
  assert flags.FLAGS['home'].serialize() == f'--home={path}'
