"""Gives a process its GPU and its share of the CPU, and sets how TensorFlow rewrites graphs."""
import contextlib
import ctypes
import functools
import itertools
import os

from images.utils.tf1 import tf

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # From <malloc.h>.


def set_up(local_rank, local_size):
  """Give this process the GPU and the threads that session_config() gives its sessions.

  Also let it keep freed memory from step to step.

  TensorFlow uses the settings at the time when it creates its devices. The first function in a
  graph makes it do so, before any session.

  Args:
    local_rank: int, the number of this process among those on the host.
    local_size: int, the number of these processes.

  Raises:
    RuntimeError: TensorFlow has already created its devices.
  """
  try:
    _set_up(local_rank, local_size)
  except RuntimeError as error:
    raise RuntimeError(
        f'too late to give this process its share of the host ({error}): a module made '
        'TensorFlow compute something while it was imported, as tf.constant(...).numpy() does; '
        'use NumPy instead, or do it in a function that is called later') from error


def _set_up(local_rank, local_size):
  _keep_memory()
  threads = _threads(local_size)
  if threads:
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
  gpus = tf.config.list_physical_devices('GPU')
  if gpus:
    # The GPU's own threads launch its kernels, so that nothing on the CPU holds them up.
    os.environ.setdefault('TF_GPU_THREAD_MODE', 'gpu_private')
    os.environ.setdefault('TF_GPU_THREAD_COUNT', '2')
    own = gpus[_own_gpu(gpus, local_rank)]
    tf.config.set_visible_devices(own, 'GPU')
    tf.config.experimental.set_memory_growth(own, True)


def _keep_memory():
  """Let the C library keep the memory that a step frees, unless the user has set what it keeps.

  Otherwise it returns large blocks to the kernel, which clears their pages when they are next
  touched: 20,000 pages in each step of resnet_v1_50 on one core.
  """
  mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)  # Only the GNU C library has it.
  is_set = ({'MALLOC_MMAP_THRESHOLD_', 'MALLOC_TRIM_THRESHOLD_'} & os.environ.keys()
            or 'glibc.malloc' in os.environ.get('GLIBC_TUNABLES', ''))
  if mallopt and not is_set:
    mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)  # The largest value that it accepts.
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


@functools.cache
def cpu_flags():
  """Return the CPU's feature flags and vendor, a set of words; empty if Linux reports neither."""
  words = set()
  with contextlib.suppress(OSError), open('/proc/cpuinfo') as cpuinfo:
    for line in itertools.takewhile(str.strip, cpuinfo):  # The lines of the first CPU.
      if line.startswith(('vendor_id', 'flags', 'Features')):
        words.update(line.split())
  return words


def has_matrix_unit(dtype):
  """Return whether the CPU has a matrix unit for `dtype`, which is Intel's AMX for bfloat16."""
  return dtype == tf.bfloat16 and 'amx_bf16' in cpu_flags()


def has_avx2_only():
  """Return whether the CPU has AVX2 but not AVX-512.

  On such a CPU oneDNN's gradients of filters are slow, and its matrix products do not pack their
  factors: rows that are a multiple of 4 KB apart then evict each other from the cache.
  """
  return 'avx2' in cpu_flags() and 'avx512bw' not in cpu_flags()


def accelerator():
  """Return the device string of this process's GPU, the only one it sees; None without one."""
  return '/gpu:0' if tf.config.list_physical_devices('GPU') else None


def session_config(local_rank, local_size, *, log_device_placement=False, is_training=False,
                   xla=False):
  """Return the tf.ConfigProto of a process: its own GPU, its share of the host's cores.

  If each of several processes on a host used all cores, within an operation or for several at the
  same time, they would take them from each other.

  Args:
    local_rank, local_size: see set_up().
    log_device_placement: bool, whether to log the device of each operation.
    is_training: bool, whether the session trains: a CPU then runs the graph as it is.
    xla: bool, whether XLA compiles clusters of operations, also on a CPU.
  """
  threads = _threads(local_size)
  config = tf.ConfigProto(
      allow_soft_placement=True,
      log_device_placement=log_device_placement,
      intra_op_parallelism_threads=threads,
      inter_op_parallelism_threads=threads)
  if xla:
    config.graph_options.optimizer_options.global_jit_level = tf.OptimizerOptions.ON_1
  config.gpu_options.allow_growth = True
  gpus = tf.config.list_physical_devices('GPU')
  if gpus:
    config.gpu_options.visible_device_list = str(_own_gpu(gpus, local_rank))
  else:
    _rewrite_for_cpus(config.graph_options, is_training)
  return config


def cores():
  """Return the numbers of the cores that this process may use, a set."""
  return os.sched_getaffinity(0) if hasattr(os, 'sched_getaffinity') else {*range(os.cpu_count())}


def _threads(local_size):
  """Return the number of threads of a process, its share of the cores; 0 stands for all."""
  return max(1, len(cores()) // local_size) if local_size > 1 else 0


def _own_gpu(gpus, local_rank):
  """Return the index of this process's GPU in `gpus`; a launcher may show it only one."""
  return local_rank if len(gpus) > 1 else 0


def _rewrite_for_cpus(graph_options, is_training):
  """Turn off graph rewriting that takes seconds at the start and improves nothing on a CPU.

  In training this is all of it. For inference TensorFlow still fuses convolutions with their batch
  norm.
  """
  rewriting = graph_options.rewrite_options
  if is_training:
    rewriting.disable_meta_optimizer = True
    graph_options.optimizer_options.opt_level = tf.OptimizerOptions.L0
  rewriting.meta_optimizer_iterations = rewriting.ONE
  rewriting.layout_optimizer = rewriting.OFF
  rewriting.loop_optimization = rewriting.OFF
  rewriting.function_optimization = rewriting.OFF
  rewriting.memory_optimization = rewriting.NO_MEM_OPT
