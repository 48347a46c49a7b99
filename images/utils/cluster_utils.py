"""Rank, size and collectives: one interface, with Horovod or without it.

Without Horovod there is one process, and every collective is the identity, so whatever
is written over this module needs no second path.
"""
import os

from images.utils.tf1 import tf

HOROVOD_INSTALL = ('HOROVOD_WITH_TENSORFLOW=1 HOROVOD_WITH_GLOO=1 '
                   "pip install --no-build-isolation 'horovod==0.28.1'")

_hvd = None  # The module horovod.tensorflow, once init() has started it.


def init(enable_paisoar):
  """Join the ranks that horovodrun or mpirun launched; call once, before all else here.

  Args:
    enable_paisoar: bool, whether to use Horovod at all.

  Raises:
    ImportError: `enable_paisoar` and no Horovod; the message names both remedies.
  """
  global _hvd
  if not enable_paisoar:
    _hvd = None
    return
  try:
    import horovod.tensorflow as hvd
    hvd.init()
  except ImportError as error:
    raise ImportError(
        f'enable_paisoar=True trains through Horovod, which is not usable here ({error}): '
        f'install it ({HOROVOD_INSTALL}), or train in one process with '
        '--enable_paisoar=False') from error
  _hvd = hvd


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


def mean(tensor):
  """Return the element-wise mean of a tensor over all ranks; each rank gets the same."""
  return _hvd.allreduce(tensor, op=_hvd.Average) if size() > 1 else tensor


def broadcast_object(value):
  """Return the chief's `value`, any picklable object, on every rank."""
  if size() == 1:
    return value
  with tf.Graph().as_default(), tf.Session(config=session_config()) as session:
    # Without a name Horovod takes the type's, which need not be the same on all ranks.
    return _hvd.broadcast_object(value, root_rank=0, session=session, name='object')


def gather_objects(value):
  """Return the list of the `value` of every rank, in the order of the ranks."""
  if size() == 1:
    return [value]
  with tf.Graph().as_default(), tf.Session(config=session_config()) as session:
    return _hvd.allgather_object(value, session=session, name='objects')


def broadcast_global_variables():
  """Return an operation that gives every global variable the chief's value."""
  return _hvd.broadcast_global_variables(0) if size() > 1 else tf.no_op()


def session_config(log_device_placement=False):
  """Return the tf.ConfigProto of a rank: its own GPU, its share of the host's cores.

  Several ranks on a host that each used all cores would take them from each other.
  """
  cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
  config = tf.ConfigProto(
      allow_soft_placement=True,
      log_device_placement=log_device_placement,
      intra_op_parallelism_threads=max(1, cores // local_size()) if local_size() > 1 else 0)
  config.gpu_options.allow_growth = True
  if local_size() > 1:
    config.gpu_options.visible_device_list = str(local_rank())
  return config
