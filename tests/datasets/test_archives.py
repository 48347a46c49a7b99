import functools
import http.server
import os
import threading

import pytest

from images.datasets import archives
from images.datasets.raw_data import ConversionError
from tests.datasets import make_data


@pytest.fixture
def server(tmp_path):
  """Serve tmp_path/www; yield (folder, url)."""
  class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
      pass

    def send_header(self, name, value):
      # A file named short-... promises more than there is, as when a line breaks.
      if name == 'Content-Length' and 'short-' in self.path:
        value = str(int(value) + 5)
      super().send_header(name, value)
  folder = tmp_path / 'www'
  folder.mkdir()
  handler = functools.partial(Handler, directory=str(folder))
  with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as httpd:
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield folder, f'http://127.0.0.1:{httpd.server_port}'
    httpd.shutdown()


@pytest.fixture
def target(tmp_path):
  folder = tmp_path / 'target'
  folder.mkdir()
  return folder


def test_download(server, target, capsys):
  folder, url = server
  (folder / 'a.tgz').write_bytes(b'0123456789')
  path = archives.fetch(['a.tgz'], f'{url}/a.tgz', source_dir=None, dataset_dir=str(target))
  assert path == str(target / 'a.tgz')
  assert make_data.folder_bytes(target) == {'a.tgz': b'0123456789'}
  assert '10 of 10 bytes' in capsys.readouterr().err


@pytest.mark.parametrize(('name', 'message'), [
    ('short-a', r'broke off after 10 of 15 bytes|IncompleteRead'),
    ('absent', 'cannot download .*404.*--source_dir'),
])
def test_a_failed_download_leaves_nothing(server, target, name, message):
  folder, url = server
  (folder / 'short-a').write_bytes(b'0123456789')
  with pytest.raises(ConversionError, match=message):
    archives.download(f'{url}/{name}', str(target / 'a.tgz'))
  assert os.listdir(target) == []


def test_an_unreachable_server(target):
  with pytest.raises(ConversionError, match='cannot download http://127.0.0.1:1/a to'):
    archives.download('http://127.0.0.1:1/a', str(target / 'a'))


def test_a_silent_server_is_given_up(target, monkeypatch):
  def urlopen(_, timeout):
    raise TimeoutError(f'silent for {timeout} s')

  monkeypatch.setattr(archives.urllib.request, 'urlopen', urlopen)
  with pytest.raises(ConversionError, match='cannot download http://a to .*: silent for 60 s;'):
    archives.download('http://a', str(target / 'a'))


def test_what_is_there_is_not_downloaded(target):
  (target / 'a.tgz').touch()
  fetch = functools.partial(archives.fetch, ['a.tgz', 'a'], 'http://127.0.0.1:1/')
  assert fetch(source_dir=None, dataset_dir=str(target)) == str(target / 'a.tgz')
  assert fetch(source_dir=str(target), dataset_dir='/nowhere') == str(target / 'a.tgz')


def test_an_unpacked_folder_will_do(target):
  (target / 'a').mkdir()
  (target / 'a' / 'one').touch()
  fetch = functools.partial(archives.fetch, ['a.tgz', 'a'], '', dataset_dir='', inside='one')
  assert fetch(source_dir=str(target)) == str(target / 'a')
  assert fetch(source_dir=str(target / 'a')) == str(target / 'a')


def test_source_dir_without_the_archive(target):
  with pytest.raises(ConversionError, match=r'--source_dir=.*target has no a\.tgz or a$'):
    archives.fetch(['a.tgz', 'a'], '', source_dir=str(target), dataset_dir='')


FILES = {'b/2': b'two', 'b/.hidden': b'', '.git/config': b'', 'a': b'one'}


@pytest.mark.parametrize('make', [
    make_data.write_tree,
    lambda path, files: make_data.write_tar(path, files),
    lambda path, files: make_data.write_tar(path, files, 'w'),
])
def test_a_tree_reads_alike_from_folder_and_archive(tmp_path, target, make):
  make(tmp_path / 'tree', FILES)
  tree = archives.read_tree(str(tmp_path / 'tree'), scratch_dir=str(target))
  assert [(name, read()) for name, read in tree] == [('a', b'one'), ('b/2', b'two')]
  assert os.listdir(target) == []


def test_links_are_followed_but_not_in_a_circle(tmp_path, target, monkeypatch):
  tree = make_data.write_tree(tmp_path / 'tree', {'a/1': b'', 'b/2': b''})
  (tmp_path / 'linked').symlink_to(tree)
  for name, to in (('a/b', '../b'), ('a/root', '..')):
    (tree / name).symlink_to(to)
  monkeypatch.chdir(tmp_path)
  for path in ('tree', tmp_path / 'linked'):
    found = archives.read_tree(str(path), scratch_dir=str(target))
    assert [name for name, _ in found] == ['a/1', 'a/b/2', 'b/2']


def test_a_pipe_is_not_waited_for(tmp_path, target):
  (tmp_path / 'tree').mkdir()
  os.mkfifo(tmp_path / 'tree' / 'pipe')
  [(name, read)] = archives.read_tree(str(tmp_path / 'tree'), scratch_dir=str(target))
  assert name == 'pipe'
  with pytest.raises(OSError, match='not a regular file'):
    read()


def test_names_that_lead_out_of_an_archive_write_nothing(tmp_path, target):
  make_data.write_tar(tmp_path / 'evil.tgz', {'../evil': b'1', '/etc/evil': b'2'})
  before = sorted(os.listdir(tmp_path))
  archives.read_tree(str(tmp_path / 'evil.tgz'), scratch_dir=str(target))
  assert sorted(os.listdir(tmp_path)) == before
  assert not os.path.exists('/etc/evil')


@pytest.mark.parametrize('damage', [
    lambda data: data[:-30], lambda data: data[:200] + b'\xff' + data[201:],
    lambda data: b'', lambda data: b'<html>no such file</html>' * 50])
def test_a_damaged_archive_is_named(tmp_path, target, damage):
  path = tmp_path / 'a.tgz'
  make_data.write_tar(path, {'x': make_data.pixels(5000).tobytes()})
  path.write_bytes(damage(path.read_bytes()))
  with pytest.raises(ConversionError, match=r'a\.tgz is damaged or cut short .*download it again'):
    archives.read_tree(str(path), scratch_dir=str(target))


def test_a_truncated_gzip_file_is_named(tmp_path):
  make_data.write_idx(tmp_path / 'a.gz', make_data.pixels(5000))
  (tmp_path / 'a.gz').write_bytes((tmp_path / 'a.gz').read_bytes()[:-10])
  with pytest.raises(ConversionError, match=r'a\.gz is damaged or cut short'):
    archives.read_gzip(str(tmp_path / 'a.gz'))
