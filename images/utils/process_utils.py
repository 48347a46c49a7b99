"""What a process sets up before TensorFlow is loaded: its lines, and its end at a signal.

And what its launcher has told it.
"""
import functools
import os
import signal
import subprocess
import sys
import threading

from absl import logging

EXIT_STOPPED = 75  # As in sysexits.h: a failure that passes when one tries again.

# Where launchers tell a process its rank: Horovod, Open MPI, PMIx, MPICH, SLURM.
_RANK_VARIABLES = ('HOROVOD_RANK', 'OMPI_COMM_WORLD_RANK', 'PMIX_RANK', 'PMI_RANK', 'SLURM_PROCID')
# And how many there are; SLURM for what one srun has started.
_SIZE_VARIABLES = ('HOROVOD_SIZE', 'OMPI_COMM_WORLD_SIZE', 'PMI_SIZE', 'SLURM_STEP_NUM_TASKS')

# Of no session or signal of ours, so that it outlives a rank and lets its last lines through.
_FILTER = 'trap "" HUP INT TERM; exec 3<&0; sed -u "s/^/$0/" <&3 &'


def launched_rank():
  """Return the rank that a launcher gave this process, a string; '0' without a launcher."""
  return next((os.environ[name] for name in _RANK_VARIABLES if name in os.environ), '0')


def launched_size():
  """Return how many ranks a launcher says to have started, a string; '1' without a launcher."""
  return next((os.environ[name] for name in _SIZE_VARIABLES if name in os.environ), '1')


def number_lines():
  """Let all that this process writes pass through a filter, unless it is the chief.

  The filter is a process: lines of C++, of a crash and of other threads have to pass it too.
  """
  rank = launched_rank()
  if rank == '0':
    return
  for descriptor in (1, 2):
    reading, writing = os.pipe()
    subprocess.run(['sh', '-c', _FILTER, f'[rank {rank}] '], stdin=reading, stdout=descriptor,
                   start_new_session=True, check=True)
    os.dup2(writing, descriptor)
    os.close(reading)
    os.close(writing)


def leave_at_signal():
  """Let SIGTERM end this process at once, with EXIT_STOPPED, while there is nothing to save.

  Also where it waits for others within a function of C++, which no handler of Python interrupts.
  Whoever sets another handler takes the signal over; call this again after it.
  """
  signal.signal(signal.SIGTERM, _leave)
  _listen_to_signals()


def _leave(*_):
  """Stand for a handler: the thread that listens does the work."""


def _end():
  """End the process, also where nobody reads its lines any more."""
  deadline = threading.Timer(2.0, os._exit, [EXIT_STOPPED])
  deadline.daemon = True
  deadline.start()
  try:
    logging.warning('rank %s got SIGTERM while it does not train: nothing is to be saved, the same '
                    'command goes on', launched_rank())
    sys.stdout.flush()
    sys.stderr.flush()
  finally:
    os._exit(EXIT_STOPPED)


@functools.cache
def _listen_to_signals():
  """Start the thread that ends the process, once."""
  reading, writing = os.pipe()
  os.set_blocking(writing, False)
  signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

  def listen():
    while True:
      number, = os.read(reading, 1)
      if number == signal.SIGTERM and signal.getsignal(signal.SIGTERM) is _leave:
        _end()

  threading.Thread(target=listen, name='signals', daemon=True).start()
