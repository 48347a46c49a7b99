"""Finds out which ranks are alive and which are late, which collective operations cannot tell.

While ranks wait for one another in a collective operation, a thread of each still answers
datagrams. A rank that has waited too long asks all ranks, to name the one that hangs. The machine
of a frozen rank still answers connection attempts; one that is cut off or without power does not.
"""
import collections
import contextlib
import json
import os
import socket
import threading
import time

# How many seconds to wait for answers, and how often to ask in that time: a datagram may be lost.
_ANSWER_SECS = 3.0
_QUESTIONS = 3

# The variables with the address of the launcher's machine, which all others can reach.
_LAUNCHER_VARIABLES = ('HOROVOD_GLOO_RENDEZVOUS_ADDR', 'SLURM_LAUNCH_NODE_IPADDR')
_MACHINE_ID = '/proc/sys/kernel/random/boot_id'

# Where a rank answers: the name of its host, its address, an id that tells the machine from others
# of that name, and the port.
Place = collections.namedtuple('Place', ['host', 'address', 'machine', 'port'])


class RollCall:
  """Answers for this rank, and asks the others.

  Attributes:
    place: the Place of this rank.
    places: list of the Places of all ranks, once meet() has got them.
  """

  def __init__(self, rank, state):
    """Open a UDP port.

    Args:
      rank: int, the number of this process.
      state: function that returns (int, the milestones that this rank has passed; float, seconds
        since it last made progress).
    """
    self._rank, self._state = rank, state
    self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    self._socket.bind(('', 0))
    self.place = Place(socket.gethostname(), _address(), _machine(), self._socket.getsockname()[1])
    self.places = []
    self._met = []  # A Place on each other machine that answers.
    threading.Thread(target=self._answer, name='roll call', daemon=True).start()

  def _answer(self):
    while True:
      _, sender = self._socket.recvfrom(1)
      with contextlib.suppress(OSError):  # The rank that asked may be cut off by now.
        self._socket.sendto(json.dumps([self._rank, *self._state()]).encode(), sender)

  def meet(self, places):
    """Set the Places of all ranks, and find out in the background which machines answer.

    Those that do not, perhaps because of a firewall, are not watched by has_lost().
    """
    self.places = places
    others = {place[:3]: place for place in places if place[:3] != self.place[:3]}
    threading.Thread(target=lambda: self._met.extend(filter(_is_up, others.values())),
                     name='meeting', daemon=True).start()

  def has_lost(self):
    """Return whether another machine that answered at the beginning no longer does."""
    return not all(map(_is_up, self._met))

  def ask(self):
    """Return {rank: its state} of the ranks that answer within _ANSWER_SECS."""
    states = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
      for _ in range(_QUESTIONS):
        for rank, place in enumerate(self.places):
          if rank not in states:
            self._send(asking, place)
        self._receive(asking, states)
    return states

  def _send(self, asking, place):
    here = place[:3] == self.place[:3]
    with contextlib.suppress(OSError):  # An unknown name or network counts as no answer.
      asking.sendto(b'?', ('127.0.0.1' if here else place.address, place.port))

  def _receive(self, asking, states):
    """Add the answers to one question to `states`."""
    deadline = time.monotonic() + _ANSWER_SECS / _QUESTIONS
    while len(states) < len(self.places) and time.monotonic() < deadline:
      asking.settimeout(max(0.01, deadline - time.monotonic()))
      # Nobody answers in time, or another program that now has the port of a rank that has ended.
      with contextlib.suppress(OSError, ValueError, TypeError):
        rank, come, age = json.loads(asking.recv(100))
        if rank in range(len(self.places)):
          states[rank] = come, age

  def late(self, states):
    """Return in words which ranks are not in `states`, or are behind others; '' if none."""
    silent = [rank for rank in range(len(self.places)) if rank not in states]
    furthest = max((come for come, _ in states.values()), default=None)
    behind = [rank for rank, (come, _) in sorted(states.items()) if come < furthest]
    found = {'does not answer': silent,
             'waits for images or has not begun the step that the others are in': behind}
    return '; '.join(f'{self._names(ranks)} {what}' for what, ranks in found.items() if ranks)

  def _names(self, ranks):
    return ', '.join(f'rank {rank} on {self.places[rank].host}' for rank in ranks)


def _is_up(place):
  """Return whether a machine answers, even if only by refusing the connection."""
  try:
    socket.create_connection((place.address, place.port), _ANSWER_SECS).close()
  except ConnectionRefusedError:
    return True
  except OSError:
    return False
  return True


def _address():
  """Return where others reach this host: its address on the way to the launcher, or its name."""
  launcher = next((os.environ[name] for name in _LAUNCHER_VARIABLES if name in os.environ), None)
  with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
    if launcher:
      probe.connect((launcher, 9))  # Sends nothing: the system chooses the interface.
      return probe.getsockname()[0]
  return socket.gethostname()


def _machine():
  """Return an id that tells this machine from others of the same name; '' if there is none."""
  if not os.path.exists(_MACHINE_ID):
    return ''
  with open(_MACHINE_ID, encoding='ascii') as file:
    return file.read().strip()
