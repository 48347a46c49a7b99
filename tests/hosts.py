"""Two hosts on one machine: network namespaces with a cable between them, and sshd."""
import os
import pathlib
import shutil
import subprocess
import time

ADDRESSES = {'fastnn-a': '10.77.0.1', 'fastnn-b': '10.77.0.2'}
FIRST, SECOND = ADDRESSES


def _run(command):
  subprocess.run(command.split(), check=True, capture_output=True)


def missing():
  """Return in words what this machine lacks to be two hosts; '' if nothing."""
  if os.geteuid():
    return 'network namespaces take root: run the tests as root'
  os.environ['PATH'] += os.pathsep + '/usr/sbin'
  tools = [tool for tool in ('ip', 'sshd', 'ssh-keygen', 'unshare') if not shutil.which(tool)]
  if tools:
    return f'no {", ".join(tools)}: apt-get install iproute2 openssh-server util-linux'
  try:
    _run('ip netns add fastnn-probe')
    _run('ip netns del fastnn-probe')
  except subprocess.CalledProcessError as error:
    return (f'no network namespaces here ({error.stderr.decode().strip()}): run the tests on '
            'Linux, and in a container with --cap-add=SYS_ADMIN')
  return ''


class Hosts:
  """The hosts fastnn-a and fastnn-b, while the context lasts; each is reached as itself.

  Attributes:
    path: string, the PATH under which `ssh` logs in to both without a password.
  """

  def __init__(self, folder):
    self._folder = pathlib.Path(folder)
    self._daemons = []
    self.path = f'{self._folder}{os.pathsep}{os.environ["PATH"]}'

  def __enter__(self):
    self._remove()
    names = ''.join(f'{address} {name}\n' for name, address in ADDRESSES.items())
    for name in ADDRESSES:
      _run(f'ip netns add {name}')
      # `ip netns exec` shows a host these files in place of those in /etc.
      pathlib.Path(f'/etc/netns/{name}').mkdir(parents=True)
      pathlib.Path(f'/etc/netns/{name}/hosts').write_text(f'127.0.0.1 localhost\n{names}')
    _run(f'ip link add eth0 netns {FIRST} type veth peer name eth0 netns {SECOND}')
    for name, address in ADDRESSES.items():
      _run(f'ip -n {name} address add {address}/24 dev eth0')
      _run(f'ip -n {name} link set lo up')
    self.connect(True)
    self._start_sshd()
    return self

  def __exit__(self, *_):
    for daemon in self._daemons:
      daemon.kill()
      daemon.wait()
    self._remove()

  def on(self, name):
    """Return the start of a command line that runs the rest of it on a host."""
    return ['ip', 'netns', 'exec', name, 'unshare', '--uts', 'sh', '-c',
            'hostname "$0"; exec "$@"', name]

  def connect(self, connected):
    """Plug in the cable between the hosts, or pull it out."""
    for name in ADDRESSES:
      _run(f'ip -n {name} link set eth0 {"up" if connected else "down"}')

  def _start_sshd(self):
    for key in ('host', 'user'):
      subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', self._folder / key],
                     check=True)
    ssh = self._folder / 'ssh'
    ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F none -i {self._folder}/user '
                   '-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null '
                   '-o LogLevel=ERROR "$@"\n')
    ssh.chmod(0o755)
    pathlib.Path('/run/sshd').mkdir(exist_ok=True)
    for name in ADDRESSES:
      self._daemons.append(subprocess.Popen([
          *self.on(name), shutil.which('sshd'), '-D', '-f', '/dev/null',
          '-h', str(self._folder / 'host'), '-o', 'StrictModes=no', '-o', 'UsePAM=no',
          '-o', f'AuthorizedKeysFile={self._folder}/user.pub', '-o', 'PidFile=none']))
    for name in ADDRESSES:
      self._wait_for_login(name)

  def _wait_for_login(self, name):
    deadline = time.monotonic() + 20
    while subprocess.run([*self.on(FIRST), str(self._folder / 'ssh'), name, 'true'],
                         capture_output=True, check=False).returncode:
      assert time.monotonic() < deadline, f'no ssh to {name}'
      time.sleep(0.2)

  def _remove(self):
    for name in ADDRESSES:
      subprocess.run(['ip', 'netns', 'del', name], capture_output=True, check=False)
      shutil.rmtree(f'/etc/netns/{name}', ignore_errors=True)
