"""The one door to the TensorFlow 1 API and to TF-Slim.

Every module says `from images.utils.tf1 import tf, slim`, so that what has to be
done before TF-Slim can be used on a current TensorFlow is done once, here.
"""
import contextlib
import importlib
import os
import platform
import sys
import warnings

from images.utils import garbage_utils

# TensorFlow reads this when it is loaded: 1 hides its INFO lines, keeps warnings.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '1')

# And this: TF-Slim stands on tf_keras. Keras 3, which takes half a second to load, is for eager
# execution only. Whoever has loaded TensorFlow before has it, and goes on with it.
if 'tensorflow' not in sys.modules:
  os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')

# And this: oneDNN, which TensorFlow has on by itself only where processors have instructions made
# for neural networks, such as AVX512-VNNI. With AVX2 training is 1.1 to 1.6 times as fast with it.
if platform.machine() == 'x86_64':
  os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')


def _for_processors_too(options):
  """Return options of XLA that let it compile for a processor where a session asks for XLA.

  Those that say yes or no, or are the name of a file with options, are left to the user.
  """
  options = options.strip()
  if options[:1] not in ('', '-') or 'tf_xla_cpu_global_jit' in options:
    return options
  return f'{options} --tf_xla_cpu_global_jit'.strip()


# And this when it first looks for devices, which is before main().
os.environ['TF_XLA_FLAGS'] = _for_processors_too(os.environ.get('TF_XLA_FLAGS', ''))

# TensorFlow looks up the layers that TF-Slim is built on under this name, where
# the tf_keras wheel used to keep them; it now keeps them in tf_keras.src.
_LEGACY_LAYERS = 'tf_keras.legacy_tf_layers'

# What TF-Slim loads for one loss and tf_keras to turn pictures, if they can: more than half a
# second.
_UNUSED = ('sklearn', 'scipy')


def _alias_legacy_layers():
  """Make `tf_keras.legacy_tf_layers` importable where the wheel hides it."""
  if importlib.util.find_spec(_LEGACY_LAYERS) is not None:
    return
  hidden = _LEGACY_LAYERS.replace('tf_keras.', 'tf_keras.src.')
  for suffix in ('', '.base', '.convolutional', '.core', '.normalization', '.pooling'):
    sys.modules[_LEGACY_LAYERS + suffix] = importlib.import_module(hidden + suffix)


@contextlib.contextmanager
def _without(names):
  """Let modules be as if they were not installed, but those that are loaded already."""
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

# The layers below TF-Slim call themselves deprecated, layer by layer; there are no others.
warnings.filterwarnings('ignore', category=UserWarning, module=r'tensorflow\.python\.keras')

# As in TensorFlow 1, `==` asks whether two tensors or variables are the same object:
# TF-Slim's collections are looked through with it for every layer, and comparing by value
# makes an operation each time, which takes half of the time to build a deep network.
tf.disable_tensor_equality()


def _restore_tensor_class():
  """Put tf.Tensor back where slim.batch_norm of vectors looks it up; 2.18 has it elsewhere."""
  ops = importlib.import_module('tensorflow.python.framework.ops')
  if not hasattr(ops, 'Tensor'):
    ops.Tensor = tf.Tensor


_restore_tensor_class()

__all__ = ['tf', 'slim']
