import ctypes
import os
import re
import subprocess
import sys

import pytest

from images.utils import device_utils
from images.utils.tf1 import tf
from tests import launch


@pytest.mark.parametrize(('cores', 'local_size', 'threads'), [
    (8, 1, 0), (8, 2, 4), (8, 3, 2), (2, 4, 1)])
def test_threads(monkeypatch, cores, local_size, threads):
  """0 stands for all cores."""
  monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: set(range(cores)))
  config = device_utils.session_config(0, local_size)
  assert config.intra_op_parallelism_threads == config.inter_op_parallelism_threads == threads


THREADS = '''
import os
from unittest import mock
from images.utils import device_utils
from images.utils.tf1 import tf

many = 4 * os.cpu_count() + 40  # TensorFlow's own choice is some two for each core.
with mock.patch.object(device_utils, '_threads', lambda local_size: many), \\
    tf.Graph().as_default():
  device_utils.set_up(0, 1)
  tf.cond(tf.constant(True), lambda: 1, lambda: 2)
assert len(os.listdir('/proc/self/task')) >= many
'''


def test_functions_in_a_graph_make_the_threads_before_any_session():
  subprocess.run([sys.executable, '-c', THREADS], cwd=launch.ROOT, check=True)


MEMORY = '''
import resource
from images.utils import device_utils

device_utils.set_up(0, 1)
for _ in range(3):
  before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
  blocks = [b'x' * (30 * 2**20) for _ in range(3)]  # 23,040 pages.
  del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
'''


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), 'mallopt'), reason='run it with GNU libc')
@pytest.mark.parametrize(('variable', 'is_kept'), [
    (None, True), ('MALLOC_TRIM_THRESHOLD_', False), ('MALLOC_MMAP_THRESHOLD_', False)])
def test_memory_is_kept_unless_the_user_says_otherwise(variable, is_kept):
  environ = {name: value for name, value in os.environ.items()
             if not name.startswith(('MALLOC_', 'GLIBC_TUNABLES'))}
  if variable:
    environ[variable] = '1000000'
  new_pages = int(subprocess.check_output([sys.executable, '-c', MEMORY], cwd=launch.ROOT,
                                          env=environ))
  assert (new_pages < 100) == is_kept


LATE = '''
from images.utils import device_utils
from images.utils.tf1 import tf

mean = tf.constant(1.0).numpy()
device_utils.set_up(0, 2)
'''


def test_what_is_computed_on_import_comes_too_soon():
  done = subprocess.run([sys.executable, '-c', LATE], cwd=launch.ROOT, capture_output=True,
                        text=True, check=False)
  assert re.search('RuntimeError: too late .*Intra op parallelism.*: a module made TensorFlow '
                   'compute something while it was imported', done.stderr)


def test_the_words_of_this_processor():
  with open('/proc/cpuinfo') as cpuinfo:
    text = cpuinfo.read()
  assert device_utils.cpu_flags() <= set(text.split())
  for word in 'GenuineIntel', 'AuthenticAMD', 'avx512_bf16', 'fpu':
    assert (word in device_utils.cpu_flags()) == (word in text.split())


@pytest.mark.parametrize(('words', 'dtype', 'expected'), [
    ({'amx_bf16'}, tf.bfloat16, True), ({'amx_bf16'}, tf.float32, False),
    ({'avx512_bf16'}, tf.bfloat16, False)])
def test_a_matrix_unit(words, dtype, expected, monkeypatch):
  monkeypatch.setattr(device_utils, 'cpu_flags', lambda: words)
  assert device_utils.has_matrix_unit(dtype) == expected


@pytest.mark.parametrize(('words', 'expected'), [
    ({'avx', 'avx2'}, True), ({'avx2', 'avx512f', 'avx512bw'}, False), ({'neon'}, False)])
def test_short_vectors(words, expected, monkeypatch):
  monkeypatch.setattr(device_utils, 'cpu_flags', lambda: words)
  assert device_utils.has_avx2_only() == expected


@pytest.mark.parametrize(('local_rank', 'gpus', 'own'), [
    (0, 0, None), (0, 4, 0), (3, 4, 3), (3, 1, 0)])
def test_gpu(monkeypatch, local_rank, gpus, own):
  """The one of its local rank, or the only one that the launcher lets it see."""
  monkeypatch.setattr(tf.config, 'list_physical_devices', lambda kind: [kind] * gpus)
  config = device_utils.session_config(local_rank, 4)
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
  monkeypatch.setattr(os, 'environ', {})
  monkeypatch.setattr(tf.config, 'list_physical_devices',
                      lambda kind: [f'{kind} {n}' for n in range(gpus)])
  asked = []
  monkeypatch.setattr(tf.config, 'set_visible_devices', lambda *gpu: asked.append(gpu))
  monkeypatch.setattr(tf.config.experimental, 'set_memory_growth', lambda *gpu: asked.append(gpu))
  device_utils.set_up(local_rank, 1)
  assert asked == ([(own, 'GPU'), (own, True)] if own else [])
  assert os.environ == ({'TF_GPU_THREAD_MODE': 'gpu_private', 'TF_GPU_THREAD_COUNT': '2'}
                        if own else {})


@pytest.mark.parametrize(('gpus', 'is_training', 'as_it_is'), [
    (0, True, True), (0, False, False), (1, True, False), (1, False, False)])
def test_a_processor_trains_with_the_graph_as_it_is(monkeypatch, gpus, is_training, as_it_is):
  monkeypatch.setattr(tf.config, 'list_physical_devices', lambda kind: [kind] * gpus)
  options = device_utils.session_config(0, 1, is_training=is_training).graph_options
  assert options.rewrite_options.disable_meta_optimizer == as_it_is
  assert (options.optimizer_options.opt_level == tf.OptimizerOptions.L0) == as_it_is


@pytest.mark.parametrize('log', [True, False])
def test_device_placement_is_logged_where_it_is_wanted(log):
  config = device_utils.session_config(0, 1, log_device_placement=log)
  assert config.log_device_placement == log


@pytest.mark.parametrize(('xla', 'level'), [
    (False, tf.OptimizerOptions.DEFAULT), (True, tf.OptimizerOptions.ON_1)])
def test_xla_compiles_clusters(xla, level):
  options = device_utils.session_config(0, 1, xla=xla).graph_options.optimizer_options
  assert options.global_jit_level == level
