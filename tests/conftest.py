"""Keeps TensorFlow quiet in the tests, the log of the project on, and signals as they were."""
import os
import signal

import pytest
from absl import logging

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')


@pytest.fixture(autouse=True)
def _verbosity():
  """Undo what a run of the command line in this process has made of it."""
  logging.set_verbosity(logging.INFO)
  logging.get_absl_logger().setLevel('INFO')


@pytest.fixture(autouse=True)
def _signals():
  """Give a test, and what it starts, the signals of a process in the foreground.

  Training in this process may have taken them, and a shell's background have ignored them.
  """
  signal.signal(signal.SIGTERM, signal.SIG_DFL)
  signal.signal(signal.SIGINT, signal.default_int_handler)
