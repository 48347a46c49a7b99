"""The training script, but one rank does not do what it should where it calls a function.

Called as `python -m tests.misbehave RANK HOW FUNCTION --flags...` for each rank.
"""
import os
import pkgutil
import signal
import sys
import time

from images.utils import process_utils

if __name__ == '__main__':
  process_utils.number_lines()

from absl import app

import train_image_classifiers


def fail():
  raise OSError('this rank has failed')


def later(function):
  """Return the function, but it waits until another rank has surely come to the same place."""
  def wait_and_call(*arguments, **options):
    time.sleep(1)
    return function(*arguments, **options)
  return wait_and_call


# What happens in the place of the function.
HOW = {
    'freeze': lambda: os.kill(os.getpid(), signal.SIGSTOP),
    'hang': lambda: time.sleep(1000),
    'raise': fail,
}


def main(argv):
  """Run the script with the flags that follow the first three arguments."""
  rank, how, name = argv[1:]
  path, _, function = name.rpartition('.')
  owner = pkgutil.resolve_name(path)
  right, is_wrong = getattr(owner, function), os.environ['HOROVOD_RANK'] == rank
  if how == 'nan':  # In a graph of the same operations on all ranks.
    setattr(owner, function, lambda: right() * (float('nan') if is_wrong else 1.0))
  elif is_wrong:
    setattr(owner, function, lambda *_, **__: HOW[how]())
  elif how == 'freeze':
    setattr(owner, function, later(right))
  train_image_classifiers.main(argv[:1])


if __name__ == '__main__':
  app.run(main, sys.argv)
