"""TF-Slim works on the TensorFlow that is installed."""
import os
import platform
import subprocess
import sys

import numpy as np
import pytest

from images.utils import tf1
from images.utils.tf1 import slim, tf
from tests import launch


def run(code, **environment):
  """Return the lines that a Python of its own prints."""
  return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True,
                        cwd=launch.ROOT, env={**os.environ, **environment}).stdout.splitlines()


def test_a_network_of_slim_layers_runs():
  with tf.Graph().as_default(), tf.Session() as session:
    x = slim.conv2d(tf.ones([2, 8, 8, 3]), 4, 3, normalizer_fn=slim.batch_norm)
    x = slim.dropout(slim.flatten(slim.max_pool2d(x, 2)), 0.5)
    x = slim.fully_connected(x, 5)
    session.run(tf.global_variables_initializer())
    assert session.run(x).shape == (2, 5)


def test_batch_norm_of_vectors():
  with tf.Graph().as_default(), tf.Session() as session:
    x = slim.batch_norm(tf.constant([[1.0], [3.0]]), epsilon=1e-12)
    session.run(tf.global_variables_initializer())
    np.testing.assert_allclose(session.run(x), [[-1.0], [1.0]], rtol=1e-5)


def test_tensors_are_equal_where_they_are_the_same():
  one = tf.constant(1.0)
  assert (one == one, one == tf.constant(1.0)) == (True, False)


def test_what_takes_long_to_load_and_is_not_used_is_not_loaded():
  code = ('import sys; from images.utils.tf1 import tf, slim; '
          'print([name for name in ("keras", "sklearn", "scipy") if name in sys.modules]); '
          'import sklearn.metrics; print(tf.keras.__name__.split(".")[0])')
  assert run(code) == ['[]', 'tf_keras']


def test_what_is_loaded_is_left_alone_by_the_garbage_collector():
  code = ('import gc; from images.utils import tf1; frozen = gc.get_freeze_count(); '
          'print(gc.isenabled(), frozen > 10 * len(gc.get_objects()))')
  assert run(code) == ['True True']


@pytest.mark.parametrize(('before', 'after'), [
    ('', '--tf_xla_cpu_global_jit'),
    (' --tf_xla_min_cluster_size=9', '--tf_xla_min_cluster_size=9 --tf_xla_cpu_global_jit'),
    ('--tf_xla_cpu_global_jit=false', '--tf_xla_cpu_global_jit=false'),
    ('/a/file', '/a/file')])
def test_xla_may_compile_for_a_processor_unless_the_user_says_no(before, after):
  assert tf1._for_cpus_too(before) == after


@pytest.mark.skipif(platform.machine() != 'x86_64', reason='left to TensorFlow: try it on x86-64')
@pytest.mark.parametrize(('chosen', 'has_onednn'), [({}, 'True'),
                                                    ({'TF_ENABLE_ONEDNN_OPTS': '0'}, 'False')])
def test_onednn_computes_unless_the_user_says_no(monkeypatch, chosen, has_onednn):
  monkeypatch.delenv('TF_ENABLE_ONEDNN_OPTS', raising=False)
  code = ('from images.utils import tf1; from tensorflow.python.util import _pywrap_util_port; '
          'print(_pywrap_util_port.IsMklEnabled())')
  assert run(code, **chosen) == [has_onednn]
