import socket
import threading
import time

import pytest

from images.utils import roll_call_utils

STATES = [(7, 0.5), (7, 1.5)]


@pytest.fixture
def two(monkeypatch):
  """The roll calls of two ranks that live in this process, and know of each other."""
  monkeypatch.setattr(roll_call_utils, '_ANSWER_SECS', 0.5)
  calls = [roll_call_utils.RollCall(rank, lambda state=state: state)
           for rank, state in enumerate(STATES)]
  for call in calls:
    call.places = [call.place for call in calls]
  return calls


def gone():
  """Return a port where nobody answers."""
  with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
    closed.bind(('', 0))
    return closed.getsockname()[1]


def test_ranks_answer(two):
  for call in two:
    assert call.ask() == dict(enumerate(STATES))


def test_a_rank_is_asked_again_whose_answer_is_lost(two, monkeypatch):
  """Twice, as datagrams may be."""
  first, second = two
  asked = []

  def state():
    asked.append(len(asked))
    if len(asked) < 3:
      raise OSError('Network is unreachable')
    return STATES[1]

  monkeypatch.setattr(second, '_state', state)
  assert first.ask() == dict(enumerate(STATES))
  assert asked == [0, 1, 2]


@pytest.mark.parametrize('words', [b'?', b'\xff', b'7', b'[1]', b'[2, 7, 0.5]', b'["a", 7, 0.5]'])
def test_who_has_the_port_of_a_rank_that_has_ended(two, words):
  first, second = two
  with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
    other.bind(('', 0))
    other.settimeout(5)

    def answer():
      _, sender = other.recvfrom(10)
      other.sendto(words, sender)

    thread = threading.Thread(target=answer)
    thread.start()
    first.places = [first.place, second.place._replace(port=other.getsockname()[1])]
    assert first.ask() == {0: STATES[0]}
    thread.join()


def test_a_rank_that_is_gone(two):
  first, second = two
  first.places = [first.place, second.place._replace(host='far', port=gone())]
  states = first.ask()
  assert states == {0: STATES[0]}
  assert first.late(states) == 'rank 1 on far does not answer'


@pytest.fixture(params=[{'host': 'far'}, {'machine': 'another'}])
def meet(two, request):
  """Return a function that lets a rank meet itself and one on another machine, in `connecting`."""
  first, second = two

  def to_the_end(connecting=socket.create_connection):
    asked = []
    def create_connection(address, timeout):
      asked.append(address)
      return connecting(address, timeout)

    with pytest.MonkeyPatch.context() as patch:
      patch.setattr(roll_call_utils.socket, 'create_connection', create_connection)
      first.meet([first.place, second.place._replace(**request.param, port=gone())])
      deadline = time.monotonic() + 10
      while not asked or 'meeting' in [thread.name for thread in threading.enumerate()]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert asked == [(second.place.address, first.places[1].port)]
    return first

  return to_the_end


def out_of_reach(*_):
  raise TimeoutError


def test_a_machine_is_lost_that_has_answered_before(meet, monkeypatch):
  """That of a rank which hangs still answers; one's own does not count."""
  call = meet()
  assert not call.has_lost()
  monkeypatch.setattr(roll_call_utils.socket, 'create_connection', out_of_reach)
  assert call.has_lost()


def test_a_machine_that_has_never_answered_is_not_lost(meet, monkeypatch):
  """As behind a firewall; it is not asked again."""
  call = meet(out_of_reach)
  monkeypatch.setattr(roll_call_utils.socket, 'create_connection', lambda *_: 1 / 0)
  assert not call.has_lost()


BEHIND = 'waits for images or has not begun the step that the others are in'


@pytest.mark.parametrize(('states', 'late'), [
    ({0: (5, 9.0), 1: (5, 9.5)}, ''),
    ({0: (5, 9.0), 1: (4, 9.0)}, f'rank 1 on here {BEHIND}'),
    ({0: (4, 9.0), 1: (5, 9.0)}, f'rank 0 on here {BEHIND}'),
    ({1: (5, 9.0)}, 'rank 0 on here does not answer')])
def test_who_is_late(two, states, late):
  two[0].places = [call.place._replace(host='here') for call in two]
  assert two[0].late(states) == late


def test_who_is_late_where_others_do_not_answer(two):
  first, second = two
  first.places = [first.place._replace(host='here'), second.place._replace(host='here'),
                  second.place._replace(host='far')]
  assert first.late({0: (4, 9.0), 1: (5, 9.0)}) == (
      f'rank 2 on far does not answer; rank 0 on here {BEHIND}')


@pytest.mark.parametrize('other', [{'machine': 'another'}, {'address': '127.0.0.2'}])
def test_another_machine_of_the_same_name_is_asked_there(two, other):
  """All addresses of 127.0.0.0/8 are this machine; only 127.0.0.1 would be taken for ours."""
  first, second = two
  asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
  asked.bind(('127.0.0.2', 0))
  asked.settimeout(5)
  place = second.place._replace(address='127.0.0.2', port=asked.getsockname()[1])
  first.places = [first.place, place._replace(**other)]
  assert first.ask() == {0: STATES[0]}
  assert asked.recv(1) == b'?'


@pytest.mark.parametrize('variable', ['HOROVOD_GLOO_RENDEZVOUS_ADDR', 'SLURM_LAUNCH_NODE_IPADDR'])
def test_the_address_is_the_one_towards_the_launcher(monkeypatch, variable):
  monkeypatch.setenv(variable, '127.0.0.5')
  assert roll_call_utils._address() == '127.0.0.1'


def test_without_a_launcher_the_name_is_the_address(monkeypatch):
  for variable in roll_call_utils._LAUNCHER_VARIABLES:
    monkeypatch.delenv(variable, raising=False)
  assert roll_call_utils._address() == socket.gethostname()
