"""Which ranks are alive, and which of them is late: what collective operations cannot tell.

While ranks wait for one another in a collective operation, a thread of each still answers
datagrams. Whoever has waited too long asks all, to name the rank that hangs.
"""
import contextlib
import json
import socket
import threading
import time

from images.utils import cluster_utils

_ANSWER_SECS = 3.0


class RollCall:
  """Answers for this rank, and asks the others.

  Attributes:
    runs: int, the number of runs that this rank has begun; kept by its user.
    running: bool, whether it is within a run; kept by its user.
  """

  def __init__(self):
    """Open a UDP port and tell the other ranks of it; all ranks have to call this."""
    self.runs, self.running = 0, False
    self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    self._socket.bind(('', 0))
    self._places = cluster_utils.gather_objects(
        (cluster_utils.host(), self._socket.getsockname()[1]))
    threading.Thread(target=self._answer, name='roll call', daemon=True).start()

  def _answer(self):
    while True:
      _, sender = self._socket.recvfrom(1)
      state = [cluster_utils.rank(), self.runs, self.running]
      with contextlib.suppress(OSError):  # Who asked may be cut off by now.
        self._socket.sendto(json.dumps(state).encode(), sender)

  def late(self):
    """Return in words which ranks do not answer, or are behind the others; '' if none."""
    states = self._ask()
    silent = [rank for rank in range(len(self._places)) if rank not in states]
    furthest = max((state for state in states.values()), default=None)
    behind = [rank for rank, state in sorted(states.items()) if state < furthest]
    found = {'does not answer': silent, 'has not begun the step that others are in': behind}
    return '; '.join(f'{self._names(ranks)} {what}' for what, ranks in found.items() if ranks)

  def _names(self, ranks):
    return ', '.join(f'rank {rank} on {self._places[rank][0]}' for rank in ranks)

  def _ask(self):
    """Return {rank: (runs, running)} of the ranks that answer within _ANSWER_SECS."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
      for host, port in self._places:
        try:
          asking.sendto(b'?', ('127.0.0.1' if host == cluster_utils.host() else host, port))
        except OSError:
          continue  # The name or its network is not known; the rank will not answer.
      states, deadline = {}, time.monotonic() + _ANSWER_SECS
      while len(states) < len(self._places) and time.monotonic() < deadline:
        asking.settimeout(max(0.01, deadline - time.monotonic()))
        try:
          rank, *state = json.loads(asking.recv(100))
        except OSError:
          break
        states[rank] = tuple(state)
      return states
