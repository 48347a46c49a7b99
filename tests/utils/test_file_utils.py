"""Files are whole or not there."""
import contextlib
import json
import os
import resource

import pytest

from images.utils import file_utils
from images.utils.tf1 import tf


@contextlib.contextmanager
def full_disk():
  """Let no file grow while the context lasts."""
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_json_is_written_whole_or_not_at_all(tmp_path):
  path = tmp_path / 'a.json'
  file_utils.write_json(str(path), {'b': 1, 'a': [None, 'é']})
  assert json.loads(path.read_text()) == {'a': [None, 'é'], 'b': 1}
  with pytest.raises(TypeError):
    file_utils.write_json(str(path), {'b': object()})
  assert json.loads(path.read_text()) == {'a': [None, 'é'], 'b': 1}
  assert os.listdir(tmp_path) == ['a.json']


def test_an_interrupted_write_leaves_the_earlier_file(tmp_path, monkeypatch):
  path = tmp_path / 'a.json'
  file_utils.write_json(str(path), {'a': 1})
  def killed(*args, **kwargs):
    raise KeyboardInterrupt
  monkeypatch.setattr(tf.io.gfile, 'rename', killed)
  with pytest.raises(KeyboardInterrupt):
    file_utils.write_json(str(path), {'a': 2})
  assert json.loads(path.read_text()) == {'a': 1}
  # Another process would not write to the same file.
  assert sorted(os.listdir(tmp_path)) == ['a.json', f'a.json.{os.getpid()}.partial']


def test_nothing_is_left_on_a_full_disk(tmp_path):
  path = tmp_path / 'a.json'
  file_utils.write_json(str(path), {'a': 1})
  with full_disk(), pytest.raises(tf.errors.OpError, match='File too large'):
    file_utils.write_json(str(path), {'a': 2})
  with full_disk(), pytest.raises(OSError, match='cannot be written: .*File too large; choose '):
    file_utils.make_writable(str(tmp_path))
  assert json.loads(path.read_text()) == {'a': 1}
  assert os.listdir(tmp_path) == ['a.json']


def test_a_directory_is_made_and_left_empty(tmp_path):
  file_utils.make_writable(str(tmp_path / 'a' / 'b'))
  assert os.listdir(tmp_path / 'a' / 'b') == []
