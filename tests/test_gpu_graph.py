"""The graph of a training step on a GPU, judged without one: TensorFlow plans for a virtual one."""
import collections
import importlib

import pytest

from images.models import model_factory
from images.utils import device_utils, precision_utils
from images.utils.tf1 import tf


@pytest.fixture(autouse=True)
def gpu(monkeypatch):
  """Build graphs as where TensorFlow sees a GPU."""
  monkeypatch.setattr(device_utils, 'accelerator', lambda: '/gpu:0')


def planned(dtype, architecture):
  """Return how often ResNet-50 has each (operation, data format), after TensorFlow's rewriting.

  Args:
    dtype: of the computation.
    architecture: string, the compute capability of the virtual GPU.
  """
  with tf.Graph().as_default() as graph:
    network_fn = model_factory.get_network_fn('resnet_v1_50', 10, is_training=True)
    with tf.device('/gpu:0'):
      images = tf.placeholder(tf.float32, [2, 64, 64, 3])
      logits, _ = precision_utils.computing_in(dtype, network_fn)(images)
      gradients = tf.gradients(tf.cast(logits, tf.float32), tf.trainable_variables())
      tf.add_to_collection('train_op', tf.add_n([tf.reduce_sum(g) for g in gradients]))
    meta_graph = tf.train.export_meta_graph(graph=graph)
  nodes = optimized(meta_graph, architecture)
  return collections.Counter(
      (node.op, node.attr['data_format'].s.decode()) for node in nodes
      if node.op in ('Conv2D', 'Conv2DBackpropFilter', 'FusedBatchNormV3', 'FusedBatchNormGradV3'))


def optimized(meta_graph, architecture):
  """Return the nodes of a graph as TensorFlow rewrites it for a machine with one such GPU."""
  properties = importlib.import_module('tensorflow.core.protobuf.device_properties_pb2')
  grappler = importlib.import_module('tensorflow.python.grappler.tf_optimizer')
  cluster = importlib.import_module('tensorflow.python.grappler.cluster')
  place = '/job:localhost/replica:0/task:0/device:'
  gpu = properties.DeviceProperties(type='GPU', num_cores=60, frequency=1000,
                                    environment={'architecture': architecture})
  machine = cluster.Cluster(devices=[
      properties.NamedDevice(name=f'{place}GPU:0', properties=gpu),
      properties.NamedDevice(name=f'{place}CPU:0',
                             properties=properties.DeviceProperties(type='CPU', num_cores=4))])
  return grappler.OptimizeGraph(tf.ConfigProto(), meta_graph, cluster=machine).node


@pytest.mark.parametrize(('dtype', 'architecture', 'data_format'), [
    (tf.float32, '6.0', 'NCHW'), (tf.float32, '8.0', 'NCHW'), (tf.float16, '8.0', 'NHWC')])
def test_layers_have_the_format_that_is_fast_on_the_gpu(dtype, architecture, data_format):
  """Channels first, but in half precision, where tensor cores take them last; norms fused.

  Of the 54 layers the logits are a matrix product.
  """
  assert planned(dtype, architecture) == {
      ('Conv2D', data_format): 53, ('Conv2DBackpropFilter', data_format): 53,
      ('FusedBatchNormV3', data_format): 53, ('FusedBatchNormGradV3', data_format): 53}
