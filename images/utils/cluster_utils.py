"""Provides rank, size and collectives, with or without Horovod.

Without Horovod there is one process and every collective is the identity, so that code that uses
this module does not have to treat that case separately.
"""
import collections
import glob
import os
import re
import socket

from absl import logging

from images.utils import device_utils, process_utils, stall_utils
from images.utils.tf1 import tf

HOROVOD_INSTALL = ("pip install 'setuptools<70' wheel 'cmake<4' && "
                   'HOROVOD_WITH_TENSORFLOW=1 HOROVOD_WITH_GLOO=1 '
                   'pip install --no-build-isolation horovod==0.28.1')

# By how many seconds Gloo's time limit exceeds that of the watch over stalls, which names the rank
# that hangs and so should act first.
_GLOO_MARGIN_SECS = 60

# Where NVIDIA's driver lists the GPUs of the host.
_NVIDIA_GPUS = '/proc/driver/nvidia/gpus/*'

_hvd = None  # The module horovod.tensorflow, once init() has started it.


def init(enable_paisoar, stall_limit_secs=600):
  """Join the ranks that horovodrun or mpirun launched; call once, before anything else here.

  From then on this process is ended if it waits too long while no rank makes progress.

  Args:
    enable_paisoar: bool, whether to use Horovod at all.
    stall_limit_secs: int, how many seconds it may wait.

  Raises:
    ImportError: `enable_paisoar` is set without a usable Horovod; the message names both remedies.
    RuntimeError: TensorFlow already has its devices, see device_utils.set_up().
    ValueError: the launched ranks do not find each other, or a host with several GPUs has more
      ranks than GPUs.
  """
  global _hvd
  rank_to_be = int(process_utils.launched_rank()) if enable_paisoar else 0
  roll_call = stall_utils.start(stall_limit_secs, rank_to_be)
  with stall_utils.watched():
    _hvd = _join(stall_limit_secs) if enable_paisoar else None
  stall_utils.watch_exit()
  _check_size(enable_paisoar)
  _check_gpus()
  device_utils.set_up(local_rank(), local_size())
  _check_cores()
  roll_call.meet(gather_objects(roll_call.place))


def _join(stall_limit_secs):
  """Start Horovod; return its module."""
  os.environ.setdefault('HOROVOD_GLOO_TIMEOUT_SECONDS', str(stall_limit_secs + _GLOO_MARGIN_SECS))
  if not tf.config.list_physical_devices('GPU'):
    _tune_for_cpus()
  try:
    import horovod.tensorflow as hvd
    hvd.init()
  except ImportError as error:
    raise ImportError(
        f'--enable_paisoar=True needs Horovod, which is not usable here ({error}): '
        f'install it ({HOROVOD_INSTALL}), or train in one process with '
        '--enable_paisoar=False') from error
  return hvd


def _tune_for_cpus():
  """Set environment variables that Horovod reads at its start, unless the user has set them."""
  if os.environ.get('HOROVOD_AUTOTUNE', '0') != '0':
    return  # Its autotuner tunes only what is not set.
  # Horovod looks for work once per cycle, by default every millisecond, on cores that are busy with
  # the network: two ranks of one core each are a fifth faster with cycles of 20 ms.
  os.environ.setdefault('HOROVOD_CYCLE_TIME', '20')
  ranks_here = os.environ.get('OMPI_COMM_WORLD_LOCAL_SIZE')
  if ranks_here and ranks_here == os.environ.get('OMPI_COMM_WORLD_SIZE'):
    # Within one host Open MPI exchanges through memory, which takes half the time if Horovod's
    # fusion buffer, by default 128 MB, is small enough to stay in the cache.
    os.environ.setdefault('HOROVOD_FUSION_THRESHOLD', str(2 * 2**20))


def _check_size(enable_paisoar):
  """Make sure that launched ranks do not each train alone unnoticed.

  Raises:
    ValueError: Horovod has not found the other ranks.
  """
  launched = int(process_utils.launched_size())
  if launched == size():
    return
  if enable_paisoar:
    raise ValueError(
        f'{launched} ranks were launched, but Horovod finds {size()}, so that each would train '
        'alone: launch with horovodrun --gloo, or for mpirun and srun build Horovod with Open MPI '
        '(HOROVOD_WITH_MPI=1); --enable_paisoar=False is for runs that each train alone')
  logging.warning('%d processes were launched, and with --enable_paisoar=False each trains alone',
                  launched)


def _check_gpus():
  """Make sure that no two ranks share a GPU unnoticed.

  Raises:
    ValueError: the host has several GPUs, and more ranks than GPUs.
  """
  gpus = len(tf.config.list_physical_devices('GPU'))
  shown = re.match('[0-9GM]', os.environ.get('CUDA_VISIBLE_DEVICES', '0'))  # Not if it is -1 or ''.
  if not gpus and shown and glob.glob(_NVIDIA_GPUS):
    logging.warning('%s has GPUs that TensorFlow cannot use, so that the CPU computes: see '
                    "README.md on CUDA (pip install 'tensorflow[and-cuda]==%s'), or hide the GPUs "
                    '(CUDA_VISIBLE_DEVICES=-1)', host(), tf.__version__)
  if 1 < gpus < local_size():
    raise ValueError(f'{local_size()} ranks on {host()}, which has {gpus} GPUs: start one rank per '
                     'GPU')
  if gpus == 1 < local_size() and 'CUDA_VISIBLE_DEVICES' not in os.environ:
    logging.warning('%d ranks on %s share its GPU: start one rank there', local_size(), host())
  if gpus and size() > 1 and not _hvd.nccl_built():
    logging.warning("Horovod was built without NCCL: gradients go through the host's memory, which "
                    'is slow; build it with HOROVOD_GPU_OPERATIONS=NCCL (pip install '
                    '--no-cache-dir --force-reinstall --no-deps, as in README.md)')


def _check_cores():
  """Warn if a launcher has bound ranks to cores, as each then uses only a part of these."""
  own = device_utils.cores()
  bound = any(cores != own for name, cores in gather_objects((host(), own)) if name == host())
  threads, share = (max(1, cores // local_size()) for cores in (len(own), os.cpu_count()))
  if bound and threads < share and local_rank() == 0:
    logging.warning('the ranks on %s are bound to cores, so that each has %d instead of its share '
                    'of %d: start them unbound (mpirun -bind-to none, srun --cpu-bind=none)',
                    host(), threads, share)


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
  on_gpus = device_utils.accelerator() and _hvd.nccl_built()
  gradients = 'NCCL' if on_gpus else 'MPI' if _hvd.mpi_enabled() else 'Gloo'
  import horovod
  return f'Horovod {horovod.__version__} over {gradients}'


def mean(tensor, name, compression='none'):
  """Return the element-wise mean of a tensor over all ranks; each rank gets the same.

  Args:
    tensor: float tensor.
    name: string, the same on all ranks, by which Horovod matches tensors. The name of the
      operation will not do, as it may depend on the CPU.
    compression: 'none', or 'fp16' to exchange the values as float16.
  """
  if size() == 1:
    return tensor
  return _hvd.allreduce(tensor, op=_hvd.Average, name=f'mean_of/{name}',
                        compression=getattr(_hvd.Compression, compression))


def mean_of_all(tensors, name):
  """Return the means of many small float32 tensors of known shapes, exchanged as one.

  Args:
    tensors: list of tensors.
    name: string, see mean().
  """
  if size() == 1 or not tensors:
    return tensors
  sizes = [tensor.shape.num_elements() for tensor in tensors]
  joined = tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], 0)
  means = tf.split(mean(joined, name), sizes)
  return [tf.reshape(m, tensor.shape) for m, tensor in zip(means, tensors)]


def broadcast_object(value):
  """Return the chief's `value`, any picklable object, on every rank."""
  if size() == 1:
    return value
  with stall_utils.watched(), tf.Graph().as_default(), \
      tf.Session(config=session_config()) as session:
    # Without a name Horovod takes the type's, which need not be the same on all ranks.
    return _hvd.broadcast_object(value, root_rank=0, session=session, name='object')


def gather_objects(value):
  """Return the list of the `value` of every rank, in the order of the ranks."""
  if size() == 1:
    return [value]
  with stall_utils.watched(), tf.Graph().as_default(), \
      tf.Session(config=session_config()) as session:
    return _hvd.allgather_object(value, session=session, name='objects')


def barrier():
  """Wait until all ranks have reached this call."""
  gather_objects(None)


def hosts():
  """Return in words how many ranks are on which host, such as 'node1 x 4, node2 x 4'."""
  names = collections.Counter(gather_objects(host()))
  return ', '.join(f'{name} x {ranks}' for name, ranks in names.items())


def broadcast_global_variables():
  """Return an operation that gives every global variable the chief's value."""
  return _hvd.broadcast_global_variables(0) if size() > 1 else tf.no_op()


def session_config(log_device_placement=False, *, is_training=False, xla=False):
  """Return the tf.ConfigProto of this rank's sessions; see device_utils.session_config()."""
  return device_utils.session_config(local_rank(), local_size(), is_training=is_training, xla=xla,
                                     log_device_placement=log_device_placement)
