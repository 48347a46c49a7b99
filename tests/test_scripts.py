"""The scripts check what they need before they do anything."""
import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
_TOOLS = ['bash', 'basename', 'cksum', 'cut', 'date', 'dirname', 'mkdir', 'rm', 'sed', 'g++',
          'make']


@pytest.fixture
def clone(tmp_path):
  """A folder with the scripts and no .venv, and a PATH of few tools."""
  shutil.copytree(ROOT / 'scripts', tmp_path / 'clone' / 'scripts')
  shutil.copy(ROOT / 'setup.py', tmp_path / 'clone')
  (tmp_path / 'bin').mkdir()
  for tool in _TOOLS:
    (tmp_path / 'bin' / tool).symlink_to(shutil.which(tool) or '/bin/true')
  return tmp_path / 'clone'


def write_tool(folder, name, script):
  """Write a shell script in place of a tool."""
  (folder / name).write_text(f'#!/bin/bash\n{script}\n')
  (folder / name).chmod(0o755)


def run(clone, script, *arguments, **environment):
  return subprocess.run(
      ['bash', f'scripts/{script}', *arguments], cwd=clone, text=True, capture_output=True,
      timeout=60, env={'PATH': str(clone.parent / 'bin'), **environment}, check=False)


@pytest.mark.parametrize('script', ['quickstart.sh', 'run_tests.sh'])
@pytest.mark.parametrize('tool', ['g++', 'make'])
def test_a_missing_compiler_is_named_with_its_package_before_anything_is_done(clone, script, tool):
  bin_folder = clone.parent / 'bin'
  os.remove(bin_folder / tool)
  write_tool(bin_folder, 'id', 'echo 0')
  write_tool(bin_folder, 'apt-get', f'echo "$@" >> {clone}/installed')
  result = run(clone, script, PYTHON='/nonexistent/python')
  assert result.returncode == 1
  assert f'no {tool}' in result.stderr
  assert 'apt-get install g++ make' in result.stderr
  assert sorted(os.listdir(clone)) == ['scripts', 'setup.py']


@pytest.mark.parametrize('script', ['quickstart.sh', 'run_tests.sh'])
def test_an_interpreter_of_another_version_is_refused(clone, script):
  bin_folder = clone.parent / 'bin'
  write_tool(bin_folder, 'python3', 'exit 1')
  write_tool(bin_folder, 'id', 'echo 0')
  write_tool(bin_folder, 'apt-get', f'echo "$@" >> {clone}/installed')
  result = run(clone, script)
  assert result.returncode == 1
  assert 'python3 is no Python 3.9 to 3.12' in result.stderr
  assert 'PYTHON=' in result.stderr
  assert sorted(os.listdir(clone)) == ['scripts', 'setup.py']


def stamp_of(clone):
  """Return the file that says that .venv is set up."""
  return subprocess.run(['bash', '-c', 'source scripts/setup_env.sh; echo "$stamp"'], cwd=clone,
                        capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(('old', 'new', 'is_same'), [
    ('"""Packaging of', '"""The packaging of', True), ('  # Horovod', '  # Our Horovod', True),
    ('        # Converting', '        # For converting', True), ('<2.19', '<2.20', False),
    ("'absl-py>=1.4',", "'absl-py>=1.4', 'six',", False), ("'matplotlib>=3.5'", '', False)])
def test_only_what_is_to_be_installed_makes_another_stamp(clone, old, new, is_same):
  stamp, text = stamp_of(clone), (clone / 'setup.py').read_text()
  assert old in text
  (clone / 'setup.py').write_text(text.replace(old, new))
  assert (stamp_of(clone) == stamp) == is_same


@pytest.fixture
def ready(clone):
  """The clone with a .venv that seems to be set up, and digits that seem to be converted."""
  for path in ('.venv/bin/activate', stamp_of(clone), 'runs/quickstart/digits/manifest.json'):
    (clone / path).parent.mkdir(parents=True, exist_ok=True)
    (clone / path).touch()
  for tool in ('tee', 'grep', 'tail', 'cat'):
    (clone.parent / 'bin' / tool).symlink_to(shutil.which(tool))
  return clone


def test_quickstart_does_not_pass_arguments_over(ready):
  result = run(ready, 'quickstart.sh', '--model_name=cifarnet')
  assert (result.returncode, result.stdout) == (1, '')
  assert result.stderr == ('quickstart.sh: takes no arguments, but got --model_name=cifarnet: '
                           'to pass training flags, use scripts/launch_local.sh\n')


def test_quickstart_shows_why_training_failed(ready):
  bin_folder = ready.parent / 'bin'
  write_tool(bin_folder, 'horovodrun', 'echo step 1, 9.5 images/s; echo ValueError: why; exit 3')
  write_tool(bin_folder, 'python', f'touch {ready}/evaluated')
  result = run(ready, 'quickstart.sh')
  assert result.returncode == 1
  assert 'step 1, 9.5 images/s' in result.stdout
  *log, last = result.stderr.splitlines()
  assert log == ['step 1, 9.5 images/s', 'ValueError: why']
  assert last.startswith('quickstart.sh: training failed, see above; the whole log is runs/quick')
  assert not (ready / 'evaluated').exists()


def test_every_script_is_executable_and_parses():
  scripts = sorted((ROOT / 'scripts').glob('*.sh'))
  assert scripts
  for script in scripts:
    subprocess.run(['bash', '-n', script], check=True)
    assert os.access(script, os.X_OK), script
