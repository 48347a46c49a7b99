"""Lines of a process by any way out of it, and its end at a signal."""
import os
import signal
import subprocess
import sys

import pytest

from images.utils import process_utils
from tests import launch

WRITE = '''
import os, sys, threading, warnings
from images.utils import process_utils
process_utils.number_lines()
print('printed\\nin two lines', flush=True)
warnings.warn('warned')
os.system('echo of another program')
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
os.write(2, b'the last words')
os.kill(os.getpid(), 9)
'''


def write(**environment):
  clean = {name: value for name, value in os.environ.items() if 'RANK' not in name}
  done = subprocess.run([sys.executable, '-c', WRITE], cwd=launch.ROOT, text=True, timeout=60,
                        capture_output=True, check=False, env={**clean, **environment})
  assert done.returncode == -9
  return done.stdout.splitlines(), done.stderr.splitlines()


@pytest.mark.parametrize('variable', ['HOROVOD_RANK', 'OMPI_COMM_WORLD_RANK', 'SLURM_PROCID'])
def test_all_lines_of_another_rank_carry_its_number(variable):
  output, errors = write(**{variable: '13'})
  assert output == ['[rank 13] printed', '[rank 13] in two lines', '[rank 13] of another program']
  assert all(line.startswith('[rank 13] ') for line in errors)
  assert 'UserWarning: warned' in errors[0]
  assert '[rank 13] ZeroDivisionError: division by zero' in errors
  assert errors[-1] == '[rank 13] the last words'


def test_lines_of_the_chief_are_as_they_are():
  output, errors = write(HOROVOD_RANK='0', SLURM_PROCID='7')
  assert output == ['printed', 'in two lines', 'of another program']
  assert errors[-1] == 'the last words'


@pytest.mark.parametrize('number', [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_the_filter_outlives_a_signal(number):
  shell = subprocess.Popen(
      ['sh', '-c', process_utils._FILTER, '[rank 13] '], text=True, stdin=subprocess.PIPE,
      stdout=subprocess.PIPE, start_new_session=True)
  shell.wait()  # The filter is left of its group.
  os.killpg(shell.pid, number)
  assert shell.communicate('the last words')[0] == '[rank 13] the last words'


WAIT = '''
import ctypes, signal
from images.utils import process_utils
process_utils.leave_at_signal()
{handler}
print('ready', flush=True)
mutex = ctypes.create_string_buffer(64)  # Zeros make one that is free.
{wait}
'''
FOR_EVER = 'while True: ctypes.CDLL(None).pthread_mutex_lock(mutex)'


def end(handler, wait):
  """Return how a process that gets SIGTERM ends: its exit code, and what it prints."""
  process = subprocess.Popen([sys.executable, '-c', WAIT.format(handler=handler, wait=wait)],
                             cwd=launch.ROOT, text=True, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT)
  assert process.stdout.readline() == 'ready\n'
  process.terminate()
  try:
    output, _ = process.communicate(timeout=60)
  finally:
    process.kill()
  return process.returncode, output


def test_sigterm_ends_a_process_that_hangs_in_a_function_of_c():
  code, output = end('', FOR_EVER)
  assert code == process_utils.EXIT_STOPPED
  assert 'rank 0 got SIGTERM while not training: there is nothing to save; run the' in output


@pytest.mark.parametrize('lines', ['sys.stderr = None', 'os.close(2)', 'lose(2)', 'lose(1)'])
def test_sigterm_ends_a_process_whose_lines_nobody_reads(monkeypatch, lines):
  monkeypatch.delenv('PYTHONUNBUFFERED', raising=False)
  lose = ('import os, sys\n'
          'def lose(descriptor):\n'
          '  reading, writing = os.pipe(); os.dup2(writing, descriptor); os.close(reading)\n')
  code, _ = end('', f'{lose}{lines}\nsys.stdout.write("pending")\n{FOR_EVER}')
  assert code == process_utils.EXIT_STOPPED


def test_another_handler_takes_the_signal_over():
  code, output = end('import os; signal.signal(signal.SIGTERM, lambda *_: os._exit(3))',
                     'import time; time.sleep(60)')
  assert (code, output) == (3, '')
