"""The scripts check what they need before they do anything."""
import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
_TOOLS = ['bash', 'basename', 'cksum', 'cut', 'date', 'dirname', 'mkdir', 'rm', 'g++', 'make']


@pytest.fixture
def clone(tmp_path):
  """A folder with the scripts and no .venv, and a PATH of few tools."""
  shutil.copytree(ROOT / 'scripts', tmp_path / 'clone' / 'scripts')
  shutil.copy(ROOT / 'setup.py', tmp_path / 'clone')
  (tmp_path / 'bin').mkdir()
  for tool in _TOOLS:
    (tmp_path / 'bin' / tool).symlink_to(shutil.which(tool) or '/bin/true')
  return tmp_path / 'clone'


def run(clone, script, **environment):
  return subprocess.run(
      ['bash', f'scripts/{script}'], cwd=clone, text=True, capture_output=True, timeout=60,
      env={'PATH': str(clone.parent / 'bin'), **environment}, check=False)


@pytest.mark.parametrize('script', ['quickstart.sh', 'run_tests.sh'])
@pytest.mark.parametrize('tool', ['g++', 'make'])
def test_a_missing_compiler_is_named_with_its_package_before_anything_is_done(clone, script, tool):
  os.remove(clone.parent / 'bin' / tool)
  result = run(clone, script, PYTHON='/nonexistent/python')
  assert result.returncode == 1
  assert f'no {tool}' in result.stderr
  assert 'apt-get install g++ make' in result.stderr
  assert sorted(os.listdir(clone)) == ['scripts', 'setup.py']


def test_an_interpreter_of_another_version_is_refused(clone):
  python = clone.parent / 'bin' / 'python3'
  python.write_text('#!/bin/bash\nexit 1\n')
  python.chmod(0o755)
  result = run(clone, 'quickstart.sh')
  assert result.returncode == 1
  assert 'python3 is no Python 3.9 to 3.12' in result.stderr
  assert 'PYTHON=' in result.stderr
  assert not (clone / '.venv').exists()


def test_every_script_is_executable_and_parses():
  scripts = sorted((ROOT / 'scripts').glob('*.sh'))
  assert scripts
  for script in scripts:
    subprocess.run(['bash', '-n', script], check=True)
    assert os.access(script, os.X_OK), script
