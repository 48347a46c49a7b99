"""One process; test_ranks.py has several."""
import os
import sys
import types

import pytest

from images.utils import cluster_utils, device_utils, process_utils
from images.utils.tf1 import tf


def test_without_horovod_there_is_one_process():
  cluster_utils.init(enable_paisoar=False)
  assert (cluster_utils.rank(), cluster_utils.size()) == (0, 1)
  assert (cluster_utils.local_rank(), cluster_utils.local_size()) == (0, 1)
  assert cluster_utils.is_chief()
  assert cluster_utils.transport() == 'none, one process'


def test_its_collectives_are_identities():
  value = object()
  assert cluster_utils.broadcast_object(value) is value
  assert cluster_utils.gather_objects(value) == [value]
  assert cluster_utils.mean(value, 'value') is value
  assert cluster_utils.mean_of_all([value], 'values') == [value]
  with tf.Graph().as_default(), tf.Session() as session:
    assert session.run(cluster_utils.broadcast_global_variables()) is None


def test_paisoar_without_horovod_is_an_error_with_both_remedies(monkeypatch):
  monkeypatch.setitem(sys.modules, 'horovod', None)
  monkeypatch.delitem(sys.modules, 'horovod.tensorflow', raising=False)
  with pytest.raises(ImportError, match='--enable_paisoar=True needs Horovod, ') as error:
    cluster_utils.init(enable_paisoar=True)
  assert "(pip install 'setuptools<70' wheel 'cmake<4' && HOROVOD_WITH" in str(error.value)
  assert 'pip install --no-build-isolation horovod==0.28.1)' in str(error.value)
  assert '--enable_paisoar=False' in str(error.value)
  assert cluster_utils.size() == 1


@pytest.mark.parametrize(('own', 'seen'), [({}, '660'), ({
    'HOROVOD_GLOO_TIMEOUT_SECONDS': '30'}, '30')])
def test_the_watch_ends_a_rank_before_gloo_does(monkeypatch, own, seen):
  """By itself Gloo waits for 30 s, and then names no rank."""
  environment = dict(own)
  monkeypatch.setattr(os, 'environ', environment)
  horovod = types.SimpleNamespace(tensorflow=types.SimpleNamespace(init=lambda: None))
  monkeypatch.setitem(sys.modules, 'horovod', horovod)
  monkeypatch.setitem(sys.modules, 'horovod.tensorflow', horovod.tensorflow)
  assert cluster_utils._join(600) is horovod.tensorflow
  assert environment['HOROVOD_GLOO_TIMEOUT_SECONDS'] == seen


@pytest.mark.parametrize(('environment', 'added'), [
    ({}, {'HOROVOD_CYCLE_TIME': '20'}),
    ({'OMPI_COMM_WORLD_SIZE': '4', 'OMPI_COMM_WORLD_LOCAL_SIZE': '4'},
     {'HOROVOD_CYCLE_TIME': '20', 'HOROVOD_FUSION_THRESHOLD': '2097152'}),
    ({'OMPI_COMM_WORLD_SIZE': '4', 'OMPI_COMM_WORLD_LOCAL_SIZE': '2'},
     {'HOROVOD_CYCLE_TIME': '20'}),
    ({'OMPI_COMM_WORLD_SIZE': '1', 'OMPI_COMM_WORLD_LOCAL_SIZE': '1',
      'HOROVOD_CYCLE_TIME': '5', 'HOROVOD_FUSION_THRESHOLD': '0'}, {}),
    ({'HOROVOD_AUTOTUNE': '0'}, {'HOROVOD_CYCLE_TIME': '20'}), ({'HOROVOD_AUTOTUNE': '1'}, {})])
def test_horovod_on_processors(monkeypatch, environment, added):
  """A small buffer with Open MPI on one host only; what the user has set stays."""
  seen = dict(environment)
  monkeypatch.setattr(os, 'environ', seen)
  cluster_utils._tune_for_cpus()
  assert seen == {**environment, **added}


@pytest.mark.parametrize('variable', process_utils._SIZE_VARIABLES)
def test_ranks_that_do_not_find_each_other(monkeypatch, caplog, variable):
  """As under mpirun with a Horovod that was built without MPI."""
  for name in process_utils._SIZE_VARIABLES:
    monkeypatch.delenv(name, raising=False)
  cluster_utils._check_size(True)
  monkeypatch.setenv(variable, '2')
  with pytest.raises(ValueError, match='2 ranks were launched, but Horovod finds 1, .* train '
                     'alone: launch with horovodrun --gloo, or .*--enable_paisoar=False'):
    cluster_utils._check_size(True)
  assert not caplog.messages
  cluster_utils._check_size(False)
  assert '2 processes were launched, and with --enable_paisoar=False each' in caplog.text


@pytest.mark.parametrize(('gpus', 'ranks', 'visible', 'warned'), [
    (0, 4, False, False), (4, 4, False, False), (1, 1, False, False), (1, 4, True, False),
    (1, 4, False, True)])
def test_a_gpu_for_each_rank(monkeypatch, caplog, gpus, ranks, visible, warned):
  """A launcher may show each rank a GPU of its own, in `visible` devices."""
  share_gpus(monkeypatch, gpus, ranks)
  monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
  if visible:
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '2')
  cluster_utils._check_gpus()
  assert caplog.messages == ['4 ranks on here share its GPU: start one rank there'] * warned


@pytest.mark.parametrize(('gpus', 'nccl', 'warned'), [
    (1, False, True), (1, True, False), (0, False, False)])
def test_gpus_without_nccl(monkeypatch, caplog, gpus, nccl, warned):
  share_gpus(monkeypatch, gpus, 1)
  monkeypatch.setattr(cluster_utils, '_hvd', types.SimpleNamespace(
      size=lambda: 2, nccl_built=lambda: nccl))
  cluster_utils._check_gpus()
  assert ['build it with HOROVOD_GPU_OPERATIONS=NCCL' in text for text in caplog.messages] == (
      [True] * warned)


@pytest.mark.parametrize(('seen', 'listed', 'visible', 'warned'), [
    (0, 1, None, True), (0, 1, '0,1', True), (1, 1, None, False), (0, 0, None, False),
    (0, 1, '-1', False), (0, 1, '', False)])
def test_gpus_that_tensorflow_cannot_use(monkeypatch, caplog, tmp_path, seen, listed, visible,
                                         warned):
  share_gpus(monkeypatch, seen, 1)
  for number in range(listed):
    (tmp_path / f'0000:0{number}:00.0').mkdir()
  monkeypatch.setattr(cluster_utils, '_NVIDIA_GPUS', f'{tmp_path}/*')
  monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
  if visible is not None:
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', visible)
  cluster_utils._check_gpus()
  assert ['here has GPUs that TensorFlow cannot use' in text for text in caplog.messages] == (
      [True] * warned)


def test_more_ranks_than_gpus(monkeypatch):
  share_gpus(monkeypatch, 2, 3)
  with pytest.raises(ValueError, match='3 ranks on here, which has 2 GPUs: start one rank per GPU'):
    cluster_utils._check_gpus()


@pytest.mark.parametrize(('cores_of_ranks', 'cores', 'warned'), [
    ([{0, 1}, {2, 3}], 4, '1 instead of its share of 2'),
    ([{0}, {1}], 64, '1 instead of its share of 32'),
    ([{*range(8)}, {*range(8)}, {*range(8, 16)}, {*range(8, 16)}], 16,
     '2 instead of its share of 4'),
    ([{0}, {1}], 2, None), ([{0, 1, 2, 3}] * 2, 4, None), ([{0, 1, 2, 3}] * 2, 8, None)])
def test_ranks_that_are_bound_to_cores(monkeypatch, caplog, cores_of_ranks, cores, warned):
  """Not if it costs no core, nor where all have the same, which a user may have chosen."""
  monkeypatch.setattr(device_utils, 'cores', lambda: cores_of_ranks[0])
  monkeypatch.setattr(os, 'cpu_count', lambda: cores)
  monkeypatch.setattr(cluster_utils, 'local_size', lambda: len(cores_of_ranks))
  monkeypatch.setattr(cluster_utils, 'host', lambda: 'here')
  monkeypatch.setattr(cluster_utils, 'gather_objects', lambda own: [
      own, *(('here', others) for others in cores_of_ranks[1:]), ('there', {7, 8})])
  cluster_utils._check_cores()
  monkeypatch.setattr(cluster_utils, 'local_rank', lambda: 1)
  cluster_utils._check_cores()  # Once on a host is enough.
  assert caplog.messages == ([] if warned is None else [
      f'the ranks on here are bound to cores, so that each has {warned}: start them unbound '
      '(mpirun -bind-to none, srun --cpu-bind=none)'])


def share_gpus(monkeypatch, gpus, ranks):
  monkeypatch.setattr(cluster_utils, 'local_size', lambda: ranks)
  monkeypatch.setattr(cluster_utils, 'host', lambda: 'here')
  monkeypatch.setattr(tf.config, 'list_physical_devices', lambda kind: [kind] * gpus)


def test_the_devices_of_a_rank_are_set_up_as_its_sessions_find_them(monkeypatch):
  seen = []
  monkeypatch.setattr(cluster_utils, 'local_rank', lambda: 3)
  monkeypatch.setattr(cluster_utils, 'local_size', lambda: 4)
  monkeypatch.setattr(device_utils, 'set_up', lambda *of: seen.append(of))
  monkeypatch.setattr(device_utils, 'session_config', lambda *of, **how: seen.append((of, how)))
  cluster_utils.init(enable_paisoar=False)
  cluster_utils.session_config(True, is_training=True, xla=True)
  assert seen == [(3, 4), ((3, 4), {
      'log_device_placement': True, 'is_training': True, 'xla': True})]
