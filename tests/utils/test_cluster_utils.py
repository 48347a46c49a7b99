"""One process; test_ranks.py has several."""
import os
import subprocess
import sys

import pytest

from images.utils import cluster_utils
from images.utils.tf1 import tf
from tests import launch


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
  assert cluster_utils.mean(value) is value
  assert cluster_utils.mean_of_all([value]) == [value]
  cluster_utils.check_agreement('flags', {'--seed': 1})
  with tf.Graph().as_default(), tf.Session() as session:
    assert session.run(cluster_utils.broadcast_global_variables()) is None


def test_paisoar_without_horovod_is_an_error_with_both_remedies(monkeypatch):
  monkeypatch.setitem(sys.modules, 'horovod', None)
  monkeypatch.delitem(sys.modules, 'horovod.tensorflow', raising=False)
  with pytest.raises(ImportError, match=r'enable_paisoar=True trains through Horovod') as error:
    cluster_utils.init(enable_paisoar=True)
  assert "(pip install 'setuptools<70' wheel 'cmake<4' && HOROVOD_WITH" in str(error.value)
  assert 'pip install --no-build-isolation horovod==0.28.1)' in str(error.value)
  assert '--enable_paisoar=False' in str(error.value)
  assert cluster_utils.size() == 1


@pytest.mark.parametrize(('environment', 'added'), [
    ({}, {'HOROVOD_CYCLE_TIME': '20'}),
    ({'OMPI_COMM_WORLD_SIZE': '4', 'OMPI_COMM_WORLD_LOCAL_SIZE': '4'},
     {'HOROVOD_CYCLE_TIME': '20', 'HOROVOD_FUSION_THRESHOLD': '2097152'}),
    ({'OMPI_COMM_WORLD_SIZE': '4', 'OMPI_COMM_WORLD_LOCAL_SIZE': '2'},
     {'HOROVOD_CYCLE_TIME': '20'}),
    ({'OMPI_COMM_WORLD_SIZE': '1', 'OMPI_COMM_WORLD_LOCAL_SIZE': '1',
      'HOROVOD_CYCLE_TIME': '5', 'HOROVOD_FUSION_THRESHOLD': '0'}, {})])
def test_horovod_on_processors(monkeypatch, environment, added):
  """A small buffer with Open MPI on one host only; what the user has set stays."""
  seen = dict(environment)
  monkeypatch.setattr(os, 'environ', seen)
  cluster_utils._suit_processors()
  assert seen == {**environment, **added}


@pytest.mark.parametrize(('cores', 'local_size', 'threads'), [
    (8, 1, 0), (8, 2, 4), (8, 3, 2), (2, 4, 1)])
def test_threads_of_a_rank(monkeypatch, cores, local_size, threads):
  """0 stands for all cores."""
  monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: set(range(cores)))
  monkeypatch.setattr(cluster_utils, 'local_size', lambda: local_size)
  config = cluster_utils.session_config()
  assert config.intra_op_parallelism_threads == config.inter_op_parallelism_threads == threads


THREADS = '''
import os
from unittest import mock
from images.utils import cluster_utils
from images.utils.tf1 import tf

with mock.patch.object(cluster_utils, '_threads', lambda: 40), tf.Graph().as_default():
  cluster_utils.init(enable_paisoar=False)
  branch = tf.cond(tf.constant(True), lambda: 1, lambda: 2)  # Its functions make devices.
  with tf.Session(config=cluster_utils.session_config()) as session:
    session.run(branch)
print(len(os.listdir('/proc/self/task')))
'''


def test_threads_of_a_graph_with_functions():
  assert int(subprocess.check_output([sys.executable, '-c', THREADS], cwd=launch.ROOT)) >= 40


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


def test_more_ranks_than_gpus(monkeypatch):
  share_gpus(monkeypatch, 2, 3)
  with pytest.raises(ValueError, match='3 ranks on here, which has 2 GPUs: start one for each'):
    cluster_utils._check_gpus()


def share_gpus(monkeypatch, gpus, ranks):
  monkeypatch.setattr(cluster_utils, 'local_size', lambda: ranks)
  monkeypatch.setattr(cluster_utils, 'host', lambda: 'here')
  monkeypatch.setattr(tf.config, 'list_physical_devices', lambda kind: [kind] * gpus)


@pytest.mark.parametrize(('local_rank', 'gpus', 'own'), [
    (0, 0, None), (0, 4, 0), (3, 4, 3), (3, 1, 0)])
def test_gpu_of_a_rank(monkeypatch, local_rank, gpus, own):
  """The one of its local rank, or the only one that the launcher lets it see."""
  monkeypatch.setattr(cluster_utils, 'local_rank', lambda: local_rank)
  monkeypatch.setattr(tf.config, 'list_physical_devices', lambda kind: [kind] * gpus)
  config = cluster_utils.session_config()
  assert config.gpu_options.visible_device_list == ('' if own is None else str(own))
  assert config.gpu_options.allow_growth
  assert config.allow_soft_placement
  rewriting = config.graph_options.rewrite_options
  assert (rewriting.meta_optimizer_iterations == rewriting.ONE) == (own is None)
  assert (rewriting.layout_optimizer == rewriting.OFF) == (own is None)


@pytest.mark.parametrize(('local_rank', 'gpus', 'own'), [
    (0, 0, None), (0, 4, 'GPU 0'), (3, 4, 'GPU 3'), (3, 1, 'GPU 0')])
def test_the_same_gpu_before_any_session(monkeypatch, local_rank, gpus, own):
  """Else TensorFlow takes all GPUs and their memory, and refuses sessions another one."""
  monkeypatch.setattr(cluster_utils, 'local_rank', lambda: local_rank)
  monkeypatch.setattr(os, 'environ', dict(os.environ))
  monkeypatch.setattr(tf.config, 'list_physical_devices',
                      lambda kind: [f'{kind} {n}' for n in range(gpus)])
  asked = []
  monkeypatch.setattr(tf.config, 'set_visible_devices', lambda *gpu: asked.append(gpu))
  monkeypatch.setattr(tf.config.experimental, 'set_memory_growth', lambda *gpu: asked.append(gpu))
  cluster_utils.init(enable_paisoar=False)
  assert asked == ([(own, 'GPU'), (own, True)] if own else [])
  assert (os.environ.get('TF_GPU_THREAD_MODE') == 'gpu_private') == bool(own)


@pytest.mark.parametrize(('gpus', 'is_training', 'as_it_is'), [
    (0, True, True), (0, False, False), (1, True, False), (1, False, False)])
def test_a_processor_trains_with_the_graph_as_it_is(monkeypatch, gpus, is_training, as_it_is):
  monkeypatch.setattr(tf.config, 'list_physical_devices', lambda kind: [kind] * gpus)
  config = cluster_utils.session_config(is_training=is_training)
  assert config.graph_options.rewrite_options.disable_meta_optimizer == as_it_is


@pytest.mark.parametrize('log', [True, False])
def test_device_placement_is_logged_where_it_is_wanted(log):
  assert cluster_utils.session_config(log).log_device_placement == log


@pytest.mark.parametrize(('xla', 'level'), [
    (False, tf.OptimizerOptions.DEFAULT), (True, tf.OptimizerOptions.ON_1)])
def test_xla_compiles_clusters(xla, level):
  options = cluster_utils.session_config(xla=xla).graph_options.optimizer_options
  assert options.global_jit_level == level
