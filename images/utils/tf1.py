"""Provides the TensorFlow 1 API and TF-Slim to all other modules.

They use `from images.utils.tf1 import tf, slim`, so that what TF-Slim needs on a current TensorFlow
is set up once, here.
"""
import contextlib
import importlib
import os
import platform
import sys
import warnings

from images.utils import garbage_utils

# TensorFlow reads this when it is loaded: 1 hides its INFO lines but keeps warnings.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '1')

# It also reads this: TF-Slim needs tf_keras. Keras 3, which takes half a second to load, is for
# eager execution only. A process that has already loaded TensorFlow keeps the Keras that it has.
if 'tensorflow' not in sys.modules:
  os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')

# It also reads this, which turns on oneDNN. By default it is on only for CPUs with instructions for
# neural networks, such as AVX512-VNNI, but with AVX2 it makes training 1.1 to 1.6 times as fast.
if platform.machine() == 'x86_64':
  os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')


def _for_cpus_too(options):
  """Return `options` of XLA with one that lets it compile for a CPU if a session asks for XLA.

  Options that already turn that on or off, or name a file with options, are left as they are.
  """
  options = options.strip()
  if options[:1] not in ('', '-') or 'tf_xla_cpu_global_jit' in options:
    return options
  return f'{options} --tf_xla_cpu_global_jit'.strip()


# TensorFlow reads this when it first looks for devices, which is before main().
os.environ['TF_XLA_FLAGS'] = _for_cpus_too(os.environ.get('TF_XLA_FLAGS', ''))

# TensorFlow looks up the layers that TF-Slim is built on under this name, where
# the tf_keras wheel used to keep them; it now keeps them in tf_keras.src.
_LEGACY_LAYERS = 'tf_keras.legacy_tf_layers'

# Modules that TF-Slim loads for one loss and tf_keras to rotate images, if they are installed:
# more than half a second.
_UNUSED = ('sklearn', 'scipy')


def _alias_legacy_layers():
  """Make `tf_keras.legacy_tf_layers` importable if the wheel hides it."""
  if importlib.util.find_spec(_LEGACY_LAYERS) is not None:
    return
  hidden = _LEGACY_LAYERS.replace('tf_keras.', 'tf_keras.src.')
  for suffix in ('', '.base', '.convolutional', '.core', '.normalization', '.pooling'):
    sys.modules[_LEGACY_LAYERS + suffix] = importlib.import_module(hidden + suffix)


@contextlib.contextmanager
def _without(names):
  """Hide modules, as if they were not installed, except those that are already loaded."""
  hidden = [name for name in names if name not in sys.modules]
  sys.modules.update(dict.fromkeys(hidden))
  try:
    yield
  finally:
    for name in hidden:
      del sys.modules[name]


with garbage_utils.without_collection(), _without(_UNUSED):
  import tensorflow.compat.v1 as tf
  _alias_legacy_layers()
  import tf_slim as slim

# Each of the layers that TF-Slim is built on warns that it is deprecated; there are no others.
warnings.filterwarnings('ignore', category=UserWarning, module=r'tensorflow\.python\.keras')

# As in TensorFlow 1, `==` tells whether two tensors or variables are the same object. TF-Slim uses
# it to search its collections for every layer, and comparing by value would make an operation each
# time, which takes half of the time to build a deep network.
tf.disable_tensor_equality()


def _restore_tensor_class():
  """Put tf.Tensor back where slim.batch_norm of vectors looks it up; 2.18 has it elsewhere."""
  ops = importlib.import_module('tensorflow.python.framework.ops')
  if not hasattr(ops, 'Tensor'):
    ops.Tensor = tf.Tensor


_restore_tensor_class()

__all__ = ['tf', 'slim']
