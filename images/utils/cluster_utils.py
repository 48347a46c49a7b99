"""Rank, size and collectives: one interface, with Horovod or without it.

Without Horovod there is one process, and every collective is the identity, so whatever
is written over this module needs no second path.
"""
import collections
import hashlib
import json
import os
import socket

from absl import logging

from images.utils import stall_utils
from images.utils.tf1 import tf

HOROVOD_INSTALL = ("pip install 'setuptools<70' wheel 'cmake<4' && "
                   'HOROVOD_WITH_TENSORFLOW=1 HOROVOD_WITH_GLOO=1 '
                   'pip install --no-build-isolation horovod==0.28.1')

_hvd = None  # The module horovod.tensorflow, once init() has started it.


def init(enable_paisoar):
  """Join the ranks that horovodrun or mpirun launched; call once, before all else here.

  Args:
    enable_paisoar: bool, whether to use Horovod at all.

  Raises:
    ImportError: `enable_paisoar` and no Horovod; the message names both remedies.
  """
  global _hvd
  _hvd = _join() if enable_paisoar else None
  _check_gpus()
  _set_up_devices()


def _join():
  """Start Horovod; return its module."""
  if not tf.config.list_physical_devices('GPU'):
    _suit_processors()
  try:
    import horovod.tensorflow as hvd
    hvd.init()
  except ImportError as error:
    raise ImportError(
        f'enable_paisoar=True trains through Horovod, which is not usable here ({error}): '
        f'install it ({HOROVOD_INSTALL}), or train in one process with '
        '--enable_paisoar=False') from error
  return hvd


def _suit_processors():
  """Set what Horovod reads from the environment at its start, unless the user has set it."""
  # It looks for work every so many milliseconds, by default each, on cores that are busy with
  # the network: two ranks of one core each are a fifth faster with 20.
  os.environ.setdefault('HOROVOD_CYCLE_TIME', '20')
  ranks_here = os.environ.get('OMPI_COMM_WORLD_LOCAL_SIZE')
  if ranks_here and ranks_here == os.environ.get('OMPI_COMM_WORLD_SIZE'):
    # Within one host Open MPI exchanges through memory, in half of the time where Horovod's
    # buffer, by default 128 MB, stays in the cache.
    os.environ.setdefault('HOROVOD_FUSION_THRESHOLD', str(2 * 2**20))


def _set_up_devices():
  """Give a process the threads and the GPU that session_config() gives its sessions.

  TensorFlow goes by what is set when devices are first made, which is before any session, for
  the first function in a graph.
  """
  tf.config.threading.set_intra_op_parallelism_threads(_threads())
  tf.config.threading.set_inter_op_parallelism_threads(_threads())
  gpus = tf.config.list_physical_devices('GPU')
  if gpus:
    # Threads of its own launch kernels, so that nothing on the processor holds the GPU up.
    os.environ.setdefault('TF_GPU_THREAD_MODE', 'gpu_private')
    os.environ.setdefault('TF_GPU_THREAD_COUNT', '2')
    own = gpus[_own_gpu(gpus)]
    tf.config.set_visible_devices(own, 'GPU')
    tf.config.experimental.set_memory_growth(own, True)


def _check_gpus():
  """Make sure that no two ranks share a GPU unnoticed.

  Raises:
    ValueError: the host has more ranks than GPUs.
  """
  gpus = len(tf.config.list_physical_devices('GPU'))
  if 1 < gpus < local_size():
    raise ValueError(f'{local_size()} ranks on {host()}, which has {gpus} GPUs: start one for each')
  if gpus == 1 < local_size() and 'CUDA_VISIBLE_DEVICES' not in os.environ:
    logging.warning('%d ranks on %s share its GPU: start one rank there', local_size(), host())


def rank():
  """Return the number of this process, from 0 to size() - 1."""
  return _hvd.rank() if _hvd else 0


def size():
  """Return the number of processes."""
  return _hvd.size() if _hvd else 1


def local_rank():
  """Return the number of this process among those on the same host."""
  return _hvd.local_rank() if _hvd else 0


def local_size():
  """Return the number of processes on this host."""
  return _hvd.local_size() if _hvd else 1


def host():
  """Return the name of this host."""
  return socket.gethostname()


def is_chief():
  """Return whether this process writes checkpoints, events and the log."""
  return rank() == 0


def transport():
  """Return in words how the ranks exchange gradients."""
  if size() == 1:
    return 'none, one process'
  gradients = 'NCCL' if _hvd.nccl_built() else 'MPI' if _hvd.mpi_enabled() else 'Gloo'
  return f'Horovod {_version()} over {gradients}'


def _version():
  import horovod
  return horovod.__version__


def mean(tensor, compression='none'):
  """Return the element-wise mean of a tensor over all ranks; each rank gets the same.

  Args:
    tensor: float tensor.
    compression: 'none', or 'fp16' to exchange the values as float16.
  """
  if size() == 1:
    return tensor
  return _hvd.allreduce(tensor, op=_hvd.Average, compression=getattr(_hvd.Compression, compression))


def mean_of_all(tensors):
  """Return the means of many small float32 tensors over all ranks, exchanged as one."""
  if size() == 1 or not tensors:
    return tensors
  sizes = [tensor.shape.num_elements() for tensor in tensors]
  means = tf.split(mean(tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], 0)), sizes)
  return [tf.reshape(m, tensor.shape) for m, tensor in zip(means, tensors)]


def broadcast_object(value):
  """Return the chief's `value`, any picklable object, on every rank."""
  if size() == 1:
    return value
  with stall_utils.waiting(), tf.Graph().as_default(), \
      tf.Session(config=session_config()) as session:
    # Without a name Horovod takes the type's, which need not be the same on all ranks.
    return _hvd.broadcast_object(value, root_rank=0, session=session, name='object')


def gather_objects(value):
  """Return the list of the `value` of every rank, in the order of the ranks."""
  if size() == 1:
    return [value]
  with stall_utils.waiting(), tf.Graph().as_default(), \
      tf.Session(config=session_config()) as session:
    return _hvd.allgather_object(value, session=session, name='objects')


def barrier():
  """Wait until all ranks have come here."""
  gather_objects(None)


def watch(limit_secs):
  """End this process where it waits `limit_secs` while no rank moves; all ranks call this."""
  roll_call = stall_utils.start(limit_secs, rank())
  roll_call.places = gather_objects(roll_call.place)


def hosts():
  """Return in words how many ranks are on which host, such as 'node1 x 4, node2 x 4'."""
  names = collections.Counter(gather_objects(host()))
  return ', '.join(f'{name} x {ranks}' for name, ranks in names.items())


def check_agreement(what, facts):
  """Make sure that every rank has the same `facts`.

  Args:
    what: string, what the facts are about.
    facts: dict from strings to JSON values.

  Raises:
    ValueError: on every rank, if they are not the same on all; says what differs.
  """
  def text(value):
    return json.dumps(value, sort_keys=True, default=str)

  if len(set(gather_objects(hashlib.sha256(text(facts).encode()).hexdigest()))) == 1:
    return
  facts_of_ranks = gather_objects(facts)
  differences = []
  for name in sorted(set().union(*facts_of_ranks)):
    ranks_of_values = collections.defaultdict(list)
    for number, of_rank in enumerate(facts_of_ranks):
      ranks_of_values[text(of_rank[name]) if name in of_rank else 'missing'].append(number)
    if len(ranks_of_values) > 1:
      differences.append(f'{name}: ' + ', '.join(
          f'{value} on rank {str(ranks)[1:-1]}' for value, ranks in ranks_of_values.items()))
  raise ValueError(f'the ranks do not have the same {what}, which all of them must: '
                   + '; '.join(differences[:10])
                   + (f'; and {len(differences) - 10} more' if len(differences) > 10 else ''))


def broadcast_global_variables():
  """Return an operation that gives every global variable the chief's value."""
  return _hvd.broadcast_global_variables(0) if size() > 1 else tf.no_op()


def accelerator():
  """Return the device string of this rank's GPU, the only one it sees; None without one."""
  return '/gpu:0' if tf.config.list_physical_devices('GPU') else None


def session_config(log_device_placement=False, *, is_training=False, xla=False):
  """Return the tf.ConfigProto of a rank: its own GPU, its share of the host's cores.

  Several ranks on a host that each used all cores, within an operation or for several at the
  same time, would take them from each other. A processor runs the graph of a session for
  training as it is. With `xla`, clusters of operations are compiled by XLA, on a processor too.
  """
  config = tf.ConfigProto(
      allow_soft_placement=True,
      log_device_placement=log_device_placement,
      intra_op_parallelism_threads=_threads(),
      inter_op_parallelism_threads=_threads())
  if xla:
    config.graph_options.optimizer_options.global_jit_level = tf.OptimizerOptions.ON_1
  config.gpu_options.allow_growth = True
  gpus = tf.config.list_physical_devices('GPU')
  if gpus:
    config.gpu_options.visible_device_list = str(_own_gpu(gpus))
  else:
    _rewrite_for_a_processor(config.graph_options, is_training)
  return config


def _threads():
  """Return this rank's share of the host's cores, a number of threads; 0 stands for all."""
  cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
  return max(1, cores // local_size()) if local_size() > 1 else 0


def _own_gpu(gpus):
  """Return which of `gpus` is this rank's, an index; a launcher may show each rank only one."""
  return local_rank() if len(gpus) > 1 else 0


def _rewrite_for_a_processor(graph_options, is_training):
  """Leave out what takes seconds of a start and finds nothing for a processor.

  For training that is all of it. In inference a convolution is fused with its batch norm.
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
