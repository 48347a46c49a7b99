"""The launch scripts: what they check, what they start, and real runs of them."""
import os
import re
import shutil
import subprocess
import sys
import time

import pytest

from tests import command_line, hosts, launch

HOSTS = 'fastnn-a:2,fastnn-b:2'
VALUES = {key: value for key, value in command_line.TINY.items() if key != 'enable_paisoar'}


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  """The directory of a tiny data set."""
  return command_line.write_dataset(tmp_path_factory.mktemp('data'))


def start(script, values, *, words=(), on=(), **environment):
  return subprocess.Popen(
      [*on, 'bash', str(launch.ROOT / 'scripts' / script), *command_line.arguments(values), *words],
      text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
      env={**os.environ, 'PATH': f'{launch.BIN}{os.pathsep}{os.environ["PATH"]}', **environment})


def run(script, values, timeout=240, **options):
  """Return (exit code, what the script printed)."""
  process = start(script, values, **options)
  try:
    output, _ = process.communicate(timeout=timeout)
  finally:
    command_line.kill(process)
  return process.returncode, output


@pytest.fixture
def fake(tmp_path, monkeypatch):
  """Return a function that puts a command into PATH: its name and its shell script."""
  monkeypatch.setenv('PATH', os.environ['PATH'])

  def put(name, script='exit 0'):
    path = tmp_path / 'bin' / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'#!/bin/bash\n{script}\n')
    path.chmod(0o755)
    return f'{path.parent}{os.pathsep}{launch.BIN}{os.pathsep}{os.environ["PATH"]}'

  return put


@launch.needs_horovod
@pytest.mark.skipif(shutil.which('nvidia-smi') is not None, reason='this machine may have a GPU')
def test_a_machine_without_gpus_needs_a_number_of_ranks():
  code, output = run('launch_local.sh', {})
  assert code == 1
  assert output.endswith('no GPU here: set the number of ranks, such as RANKS=2\n')


@launch.needs_horovod
def test_ranks_that_are_no_number():
  code, output = run('launch_local.sh', {}, RANKS='two')
  assert code == 1
  assert output.endswith('RANKS=two is not a number of ranks, such as RANKS=2\n')


@launch.needs_horovod
def test_a_rank_for_every_gpu(fake):
  path = fake('nvidia-smi', 'echo GPU 0; echo GPU 1; echo GPU 2')
  fake('horovodrun')
  code, output = run('launch_local.sh', {'model_name': 'lenet', 'hooks': 'a b'}, PATH=path)
  assert code == 0
  assert output == ('+ horovodrun --gloo -np 3 python train_image_classifiers.py '
                    '--model_name=lenet --hooks=a\\ b\n')


@launch.needs_horovod
@pytest.mark.parametrize(('gpus', 'visible', 'ranks'), [
    ('echo "NVIDIA-SMI has failed because it cannot reach the driver."; exit 9', None, 0),
    ('echo GPU 0; echo GPU 1', None, 2), ('echo GPU 0; echo GPU 1', '1', 1),
    ('echo GPU 0; echo GPU 1', 'GPU-8f,MIG-3c,0', 3), ('echo GPU 0; echo GPU 1', '', 0),
    ('echo GPU 0; echo GPU 1', '-1', 0), ('echo GPU 0', 'NoDevFiles', 0), ('exit 9', '0,1', 0)])
def test_only_the_gpus_that_can_be_seen_count(fake, monkeypatch, gpus, visible, ranks):
  path = fake('nvidia-smi', gpus)
  fake('horovodrun')
  monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
  visible = {} if visible is None else {'CUDA_VISIBLE_DEVICES': visible}
  code, output = run('launch_local.sh', {}, PATH=path, **visible)
  assert code == (0 if ranks else 1)
  assert (f'-np {ranks} ' if ranks else 'no GPU here') in output


@launch.needs_horovod
@pytest.mark.parametrize(('gpus', 'mpirun', 'mpi_built', 'command'), [
    ('exit 9', 'echo "mpirun (Open MPI) 4.1.4"', True, 'mpirun -np 2 -H localhost:2'),
    ('exit 9', 'echo "mpirun (Open MPI) 4.1.4"', False, 'horovodrun --gloo -np 2'),
    ('exit 9', 'echo "HYDRA build details:"', True, 'horovodrun --gloo -np 2'),
    ('echo GPU 0', 'echo "mpirun (Open MPI) 4.1.4"', True, 'horovodrun --gloo -np 2')])
def test_ranks_share_a_machine_through_open_mpi_if_it_has_no_gpu(fake, gpus, mpirun, mpi_built,
                                                                 command):
  path = fake('nvidia-smi', gpus)
  fake('mpirun', mpirun)
  fake('horovodrun')
  fake('python', f'echo built {mpi_built}')
  code, output = run('launch_local.sh', {'model_name': 'lenet'}, PATH=path, RANKS='2')
  assert code == 0
  assert output.startswith(f'+ {command} ')
  assert 'train_image_classifiers.py --model_name=lenet\n' in output


@launch.needs_horovod
@pytest.mark.parametrize(('python', 'message'), [
    ('echo built False', 'this Horovod was built without Open MPI. Install it '),
    ('echo; echo "ImportError: libmpi.so.40: cannot open" >&2; exit 1',
     'Horovod is installed, but not usable: ImportError: libmpi.so.40: cannot open\n')])
def test_mpirun_takes_a_horovod_that_has_open_mpi(fake, python, message):
  fake('mpirun')
  code, output = run('launch_mpirun.sh', {}, HOSTS='localhost:2', PATH=fake('python', python))
  assert code == 1
  assert message in output
  assert '+ mpirun' not in output


@launch.needs_horovod
@pytest.mark.parametrize(('value', 'message'), [
    ('', 'set HOSTS to the hosts and their ranks, such as HOSTS=node1:4,node2:4'),
    ('localhost:x', "HOSTS=localhost:x: 'localhost:x' is not host:ranks, such as node1:4"),
    ('localhost:08', "HOSTS=localhost:08: 'localhost:08' is not host:ranks"),
    ('localhost:0', "HOSTS=localhost:0: 'localhost:0' is not host:ranks"),
    ('localhost:2, localhost:2', "localhost:2, localhost:2: ' localhost:2' is not host:ranks"),
    ('nowhere.invalid:2', 'nowhere.invalid: no login by ssh without a password')])
def test_hosts_are_checked_first(fake, value, message):
  path = fake('ssh', 'exit 255')
  code, output = run('launch_horovodrun.sh', {}, HOSTS=value, PATH=path)
  assert code == 1
  assert message in output
  assert '+ horovodrun' not in output


@launch.needs_horovod
def test_a_host_is_asked_for_the_project_also_where_its_path_has_a_blank(fake, tmp_path):
  path = fake('ssh', 'while [[ $1 == -* ]]; do [ "$1" = -o ] && shift; shift; done\n'
                     '[ "$1" = node.invalid ] && shift && bash -c "$*"')  # As sshd does.
  fake('horovodrun')
  (tmp_path / 'my project').symlink_to(launch.ROOT)
  code, output = run(tmp_path / 'my project/scripts/launch_horovodrun.sh', {},
                     HOSTS='node.invalid:2', PATH=path)
  assert code == 0, output
  assert output.startswith('+ horovodrun --gloo -np 2 -H node.invalid:2 ')


@pytest.fixture
def slurm(fake):
  """The environment of a SLURM job of eight tasks, whose srun ends with the code $SRUN_CODE."""
  path = fake('srun', 'echo "srun $*"; exit $SRUN_CODE')
  fake('scontrol', 'echo "scontrol $*"')
  fake('horovodrun')
  # Horovod has MPI, says the Python of this environment.
  fake('python', f'[[ $2 == *mpi_built* ]] || exec {sys.executable} "$@"; echo built True')
  return {'SLURM_NTASKS': '8', 'SLURM_JOB_ID': '17', 'PATH': path,
          'SLURM_SUBMIT_DIR': str(launch.ROOT)}


@pytest.mark.parametrize(('code', 'queued_again'), [(0, False), (1, False), (75, True)])
def test_a_slurm_job_that_was_stopped_is_queued_again(slurm, code, queued_again):
  found, output = run('launch_slurm.sh', {'output_dir': '/shared/run'}, **slurm,
                      SRUN_CODE=str(code))
  assert found == code, output
  assert re.search(r'^srun --label --mpi=pmix --kill-on-bad-exit=1 --cpu-bind=none \S+python '
                   r'\S+/train_image_classifiers.py --output_dir=/shared/run$', output, re.M)
  assert ('scontrol requeue 17' in output) == queued_again


def test_slurm_runs_a_copy_of_the_script(slurm, tmp_path):
  copy = shutil.copy(launch.ROOT / 'scripts/launch_slurm.sh', tmp_path / 'slurm_script')
  code, output = run(copy, {'output_dir': '/shared/run'}, SRUN_CODE='0', **slurm)
  assert code == 0, output
  assert f' {launch.ROOT}/train_image_classifiers.py ' in output


@pytest.mark.parametrize('script', ['launch_slurm.sh', 'launch_local.sh'])
def test_an_allocation_that_was_made_in_another_directory(slurm, fake, tmp_path, script):
  fake('nvidia-smi', 'echo GPU 0')
  slurm['SLURM_SUBMIT_DIR'] = str(tmp_path)
  code, output = run(script, {'output_dir': '/shared/run'}, SRUN_CODE='0', **slurm)
  assert code == 0, output
  assert 'train_image_classifiers.py --output_dir=/shared/run\n' in output


def test_a_slurm_job_may_name_its_directory_in_any_way(slurm, tmp_path):
  (tmp_path / 'run.flags').write_text('--model_name=lenet\n--output_dir=/shared/run\n')
  for words in (['--output_dir', '/shared/run'], ['-output_dir=/shared/run'],
                ['--verbosity=1', f'--flagfile={tmp_path}/run.flags']):
    code, output = run('launch_slurm.sh', {}, words=words, SRUN_CODE='0', **slurm)
    assert code == 0, output
    assert output.endswith(f'/train_image_classifiers.py {" ".join(words)}\n')


@pytest.mark.parametrize(('values', 'environment', 'message'), [
    ({'output_dir': 'x'}, {}, 'no SLURM_NTASKS: submit with sbatch'),
    ({}, {'SLURM_NTASKS': '8'}, 'a job needs --output_dir, to resume '),
    ({'hooks': 'a --output_dir=x'}, {'SLURM_NTASKS': '8'}, 'a job needs --output_dir, to resume ')])
def test_a_slurm_job_is_checked_first(fake, values, environment, message):
  code, output = run('launch_slurm.sh', values, PATH=fake('srun'), **environment)
  assert code == 1
  assert message in output


def test_a_slurm_job_with_a_wrong_flag_ends_with_what_is_wrong(fake):
  code, output = run('launch_slurm.sh', {'batch_size': 'x', 'output_dir': 'x'}, PATH=fake('srun'),
                     SLURM_NTASKS='8')
  assert code == 1
  assert '--batch_size=x' in output.splitlines()[-1]


@pytest.mark.slow
@launch.needs_horovod
def test_one_machine(data, tmp_path):
  code, output = run('launch_local.sh', {**VALUES, 'dataset_dir': data, 'output_dir': tmp_path},
                     RANKS='2')
  assert code == 0, output
  assert 'ranks 2, hosts ' in output
  assert f' over {"MPI" if has_mpi() else "Gloo"}, compute in ' in output
  assert 'step 4/4  loss ' in output
  assert (tmp_path / 'model.ckpt-4.index').exists()


def has_mpi():
  """Return whether there are mpirun and a Horovod that was built with it."""
  check = 'import sys, horovod.tensorflow as hvd; sys.exit(not hvd.mpi_built())'
  return shutil.which('mpirun') is not None and subprocess.run(
      [launch.BIN / 'python', '-c', check], capture_output=True, check=False).returncode == 0


@pytest.mark.slow
@launch.needs_horovod
def test_mpirun(data, tmp_path):
  if not has_mpi():
    pytest.skip('no Open MPI, or a Horovod without it: apt-get install openmpi-bin '
                'libopenmpi-dev, remove .venv and run scripts/run_tests.sh again')
  values = {**VALUES, 'dataset_dir': data, 'output_dir': tmp_path}
  code, output = run('launch_mpirun.sh', values, HOSTS='localhost:2')
  assert code == 0, output
  # What Horovod's documentation asks for, in its page on Open MPI, and no busy waiting.
  assert re.search(r'^\+ mpirun -np 2 -H localhost:2 --tag-output -bind-to none -map-by slot '
                   r'-mca pml ob1 -mca btl \\\^openib -mca mpi_yield_when_idle 1 '
                   r'-mca odls_base_sigkill_timeout 5 (-mca oob_tcp_keepalive_\w+ \d+ ){3}'
                   r'-x PATH -x LD_LIBRARY_PATH -x NCCL_DEBUG '
                   r'(--allow-run-as-root )?\S+python \S+ ', output, re.M)
  assert 'over MPI, compute in ' in output
  assert (tmp_path / 'model.ckpt-4.index').exists()

  # A rank that fails ends the other, with its reason.
  code, output = run('launch_mpirun.sh', {**values, 'stop_at_step': 10**6, 'learning_rate': 1e30,
                                          'output_dir': tmp_path / 'fails'}, HOSTS='localhost:2')
  assert code == 1
  assert re.search(r'TrainingError: step 2: the loss is (nan|inf) on rank 0, 1; ', output)


@pytest.mark.slow
@launch.needs_horovod
def test_two_hosts_of_which_one_is_cut_off(data, tmp_path):
  """Train on two hosts, pull the cable; both end, and the same command goes on."""
  missing = hosts.missing()
  if missing:
    pytest.skip(missing)
  output_dir = tmp_path / 'run'
  values = {**VALUES, 'dataset_dir': data, 'output_dir': output_dir, 'stop_at_step': 10**6,
            'num_epochs': 10**6, 'save_checkpoint_every_n_iters': 50, 'stall_limit_secs': 40}
  (tmp_path / 'ssh').mkdir()
  with hosts.Hosts(tmp_path / 'ssh') as two:
    path = f'{launch.BIN}{os.pathsep}{two.path}'
    process = start('launch_horovodrun.sh', values, on=two.on(hosts.FIRST), HOSTS=HOSTS, PATH=path)
    try:
      command_line.wait_for(output_dir / 'model.ckpt-50.index', process, seconds=180)
      two.connect(False)
      output, _ = process.communicate(timeout=39)  # Sooner than a rank that only hangs.
    finally:
      command_line.kill(process)
    assert process.returncode != 0
    assert 'ranks 4, hosts fastnn-a x 2, fastnn-b x 2, transport Horovod ' in output
    # An exchange that breaks off in its middle may leave the others a step apart, which is said.
    assert re.search('and a machine is out of reach: '
                     'rank 2 on fastnn-b, rank 3 on fastnn-b does not answer; '
                     '(rank [01] on fastnn-a waits for images or has not begun the step that '
                     'the others are in; )?'
                     'the newest checkpoint, ', output), re.findall('.*no progress.*', output)
    assert '\nExit code: 70\n' in output
    wait_for_end_of_ranks(output_dir)

    two.connect(True)
    step = max(int(path.stem.rpartition('-')[2]) for path in output_dir.glob('*.index'))
    code, output = run('launch_horovodrun.sh', {**values, 'stop_at_step': step + 5},
                       on=two.on(hosts.FIRST), HOSTS=HOSTS, PATH=path)
    assert code == 0, output
    assert f'steps {step} to {step + 5}, resuming {output_dir}/model.ckpt-{step}' in output


def wait_for_end_of_ranks(output_dir):
  """The ranks of the host that was cut off end by themselves."""
  deadline = time.monotonic() + 60
  while subprocess.run(['pgrep', '-f', f'output_dir={output_dir}'], capture_output=True,
                       check=False).returncode == 0:
    assert time.monotonic() < deadline
    time.sleep(0.5)
