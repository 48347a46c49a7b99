import socket

import pytest

from images.utils import cluster_utils, roll_call_utils


@pytest.fixture
def two(monkeypatch):
  """The roll calls of two ranks that live in this process, and rank 2 that is gone."""
  with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
    closed.bind(('', 0))
    gone = ('far', closed.getsockname()[1])
  places = []
  monkeypatch.setattr(cluster_utils, 'host', lambda: 'here')
  monkeypatch.setattr(cluster_utils, 'gather_objects', lambda place: places.append(place) or places)
  monkeypatch.setattr(roll_call_utils, '_ANSWER_SECS', 0.5)
  first, second = roll_call_utils.RollCall(), roll_call_utils.RollCall()
  return first, second, places, gone


def answers(monkeypatch, states):
  monkeypatch.setattr(roll_call_utils.RollCall, '_ask', lambda self: states)


def test_a_rank_answers(two, monkeypatch):
  first, second, _, _ = two
  monkeypatch.setattr(cluster_utils, 'rank', lambda: 1)
  second.runs, second.running = 7, True
  first.runs, first.running = 7, True
  assert first._ask() == {1: (7, True)}


def test_a_rank_that_is_gone(two):
  first, _, places, gone = two
  places[1] = gone
  assert first.late() == 'rank 1 on far does not answer'


@pytest.mark.parametrize(('states', 'late'), [
    ({0: (5, True), 1: (5, True)}, ''),
    ({0: (5, True), 1: (4, False)},
     'rank 1 on here has not begun the step that others are in'),
    ({0: (5, False), 1: (5, True)}, 'rank 0 on here has not begun the step that others are in'),
    ({1: (5, True)}, 'rank 0 on here does not answer')])
def test_who_is_late(two, monkeypatch, states, late):
  answers(monkeypatch, states)
  assert two[0].late() == late
