"""Prefixes a process's lines with its rank, ends it at a signal, and reads what its launcher set.

It does not load TensorFlow, so that a script can use it first.
"""
import functools
import os
import signal
import subprocess
import sys
import threading

from absl import logging

EXIT_STOPPED = 75  # As in sysexits.h: a temporary failure, to be tried again.

# The variables that give a process its rank: of Horovod, Open MPI, PMIx, MPICH and SLURM.
_RANK_VARIABLES = ('HOROVOD_RANK', 'OMPI_COMM_WORLD_RANK', 'PMIX_RANK', 'PMI_RANK', 'SLURM_PROCID')
# Those that give the number of ranks; SLURM's counts those that one srun has started.
_SIZE_VARIABLES = ('HOROVOD_SIZE', 'OMPI_COMM_WORLD_SIZE', 'PMI_SIZE', 'SLURM_STEP_NUM_TASKS')

# It ignores signals and has its own session, so that it outlives a rank and passes its last lines.
_FILTER = 'trap "" HUP INT TERM; exec 3<&0; sed -u "s/^/$0/" <&3 &'


def launched_rank():
  """Return the rank that a launcher gave this process, a string; '0' without a launcher."""
  return next((os.environ[name] for name in _RANK_VARIABLES if name in os.environ), '0')


def launched_size():
  """Return how many ranks the launcher has started, a string; '1' without a launcher."""
  return next((os.environ[name] for name in _SIZE_VARIABLES if name in os.environ), '1')


def number_lines():
  """Prefix all lines that this process writes with its rank, unless it is the chief.

  The filter that does so is a process, as it also has to handle the lines of C++ code, of a crash
  and of other threads.
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

  It does so even while the process waits for others within a C++ function, which a Python handler
  cannot interrupt. Another handler of SIGTERM replaces this one until this is called again.
  """
  signal.signal(signal.SIGTERM, _leave)
  _listen_to_signals()


def _leave(*_):
  """Do nothing: this handler only marks SIGTERM for the thread that listens."""


def _end():
  """End the process, even if nobody reads its lines any more."""
  deadline = threading.Timer(2.0, os._exit, [EXIT_STOPPED])
  deadline.daemon = True
  deadline.start()
  try:
    logging.warning('rank %s got SIGTERM while not training: there is nothing to save; run the '
                    'same command to continue', launched_rank())
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
