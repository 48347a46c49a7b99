"""Puts its rank before every line of a process, whoever within it writes the line."""
import os
import subprocess

# Where launchers tell a process its rank: Horovod, Open MPI, PMIx, MPICH, SLURM.
_RANK_VARIABLES = ('HOROVOD_RANK', 'OMPI_COMM_WORLD_RANK', 'PMIX_RANK', 'PMI_RANK', 'SLURM_PROCID')

# Of no session or signal of ours, so that it outlives a rank and lets its last lines through.
_FILTER = 'trap "" HUP INT TERM; exec 3<&0; sed -u "s/^/$0/" <&3 &'


def launched_rank():
  """Return the rank that a launcher gave this process, a string; '0' without a launcher."""
  return next((os.environ[name] for name in _RANK_VARIABLES if name in os.environ), '0')


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
