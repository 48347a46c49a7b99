"""Keeps TensorFlow quiet in the tests, and the log of the project on."""
import os

import pytest
from absl import logging

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')


@pytest.fixture(autouse=True)
def _verbosity():
  """Undo what a run of the command line in this process has made of it."""
  logging.set_verbosity(logging.INFO)
  logging.get_absl_logger().setLevel('INFO')
