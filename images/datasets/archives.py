"""Finds, downloads and reads the raw archives of the data sets."""
import contextlib
import functools
import gzip
import http.client
import os
import pathlib
import posixpath
import shutil
import sys
import tarfile
import tempfile
import urllib.request
import zlib

from images.datasets.progress import Progress
from images.datasets.raw_data import ConversionError
from images.datasets.tfrecord import partial_name, publish

_CHUNK = 1 << 20
_TIMEOUT_SECONDS = 60
_REDOWNLOAD = 'remove it and download it again'


def fetch(names, url, *, source_dir, dataset_dir, inside=None):
  """Return the path of a raw archive or of what was unpacked from it.

  Args:
    names: list of strings, acceptable file or folder names, best first; a download gets
      the first.
    url: string, where to download it if it is not found; only used without source_dir.
    source_dir: string or None, the only folder to look in.
    dataset_dir: string, the folder to look in, and to download to, without source_dir.
    inside: string or None, a name; a folder that contains it is itself the unpacked
      archive.

  Raises:
    ConversionError: it is not there, or cannot be downloaded.
  """
  folder = source_dir or dataset_dir
  for name in names:
    path = os.path.join(folder, name)
    if os.path.exists(path):
      return path
  if inside is not None and os.path.exists(os.path.join(folder, inside)):
    return folder
  if source_dir:
    raise ConversionError(f'--source_dir={source_dir} has no {" or ".join(names)}')
  return download(url, os.path.join(dataset_dir, names[0]))


def download(url, path):
  """Download `url` to `path`, which exists only once it is complete; return `path`.

  Raises:
    ConversionError: the download failed or broke off.
  """
  partial = partial_name(path)
  try:
    with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response:
      expected = response.headers.get('Content-Length')
      expected = None if expected is None else int(expected)
      done = _save(response, partial, Progress(f'Downloading {url}', expected, unit=' bytes'))
    if expected not in (None, done):
      raise ConversionError(f'{url} broke off after {done} of {expected} bytes; try again')
    publish(partial, path)
  # An unreachable or silent server and a full disk all raise OSErrors.
  except (OSError, http.client.HTTPException, ValueError) as error:
    raise ConversionError(
        f'cannot download {url} to {path}: {error}; fetch it elsewhere and name its folder '
        'with --source_dir') from error
  finally:
    with contextlib.suppress(FileNotFoundError):
      os.remove(partial)
  return path


def _save(response, path, progress):
  """Write what `response` sends to the file `path`; return the number of bytes."""
  done = 0
  with open(path, 'wb') as file:
    while chunk := response.read(_CHUNK):
      file.write(chunk)
      done += len(chunk)
      progress.show(done)
  progress.finish(done)
  return done


@contextlib.contextmanager
def reading(path):
  """Turn the errors of a damaged or missing archive into a ConversionError that names it."""
  try:
    yield
  except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
    raise ConversionError(f'{path} is damaged or cut short ({error}); {_REDOWNLOAD}') from error
  except FileNotFoundError as error:
    raise ConversionError(f'{error.filename} does not exist') from error


def read_gzip(path):
  """Return the bytes of a file, decompressed if its name ends in .gz."""
  with reading(path), (gzip.open if path.endswith('.gz') else open)(path, 'rb') as file:
    return file.read()


def read_tree(path, *, scratch_dir):
  """List the files within a tar archive or a folder.

  Args:
    path: string, a folder, or a tar archive, compressed by gzip or not.
    scratch_dir: string, a folder with room for the decompressed archive.

  Returns:
    A list of (name, read), sorted by name: the path within the archive or folder,
    with '/', and a function without arguments that returns the bytes. No file is ever
    written under a name that the archive chooses. Hidden files are left out.

  Raises:
    ConversionError: the archive is damaged.
  """
  files = _read_folder(path) if os.path.isdir(path) else _read_tar(path, scratch_dir)
  # If a tar archive has several files of the same name, the last one counts.
  visible = {name: read for name, read in files
             if not any(part.startswith('.') for part in name.split('/'))}
  return sorted(visible.items())


def _read_folder(folder):
  def read(path):
    if os.path.exists(path) and not os.path.isfile(path):
      raise OSError('not a regular file')  # Reading a pipe would block.
    with open(path, 'rb') as file:
      return file.read()
  def fail(error):
    raise error
  for parent, folders, names in os.walk(folder, onerror=fail, followlinks=True):
    folders[:] = [name for name in folders if not name.startswith('.')
                  and not _leads_back(os.path.join(parent, name))]
    if not folders and all(name.startswith('.') for name in names):
      # It may be a class whose photos were forgotten.
      print(f'left out: {parent}, an empty folder', file=sys.stderr)
    for name in names:
      path = os.path.join(parent, name)
      yield os.path.relpath(path, folder).replace(os.sep, '/'), functools.partial(read, path)


def _leads_back(folder):
  """Return whether links form a cycle: `folder` is also one of the folders above it."""
  return any(os.path.samefile(folder, above) for above in pathlib.Path(folder).absolute().parents)


def _read_tar(path, scratch_dir):
  with reading(path):
    archive = tarfile.TarFile(fileobj=_decompressed(path, scratch_dir))
    members = [member for member in archive if member.isfile()]
  def read(member):
    return archive.extractfile(member).read()
  for member in members:
    yield posixpath.normpath(member.name), functools.partial(read, member)


def _decompressed(path, scratch_dir):
  """Return a file object with the decompressed bytes of `path`.

  Photos are read in an order other than the archive's, and a compressed archive does not
  support seeking. The file has no name, and disappears with the process.
  """
  copy = tempfile.TemporaryFile(dir=scratch_dir)  # noqa: SIM115 (it outlives this function)
  with open(path, 'rb') as file:
    compressed = file.read(2) == b'\x1f\x8b'
  with (gzip.open if compressed else open)(path, 'rb') as file:
    shutil.copyfileobj(file, copy, _CHUNK)
  copy.seek(0)
  return copy
