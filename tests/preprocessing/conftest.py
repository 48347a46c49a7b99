"""What the tests of the preprocessings share."""
import pathlib

import numpy as np
import pytest

from images.utils.tf1 import tf


@pytest.fixture(scope='session')
def golden():
  """Images and what the published preprocessings make of them in evaluation mode.

  'image/<name>' holds the bytes of a JPEG or PNG file, and
  '<preprocessing>/<name>/<height>x<width>' the output, float32: every pixel of it, or
  every eighth row and column where it is 64 pixels or more.
  """
  with np.load(pathlib.Path(__file__).with_name('golden.npz')) as arrays:
    return {key: arrays[key].tobytes() if key.startswith('image/') else arrays[key]
            for key in arrays.files}


@pytest.fixture
def photo(golden):
  """The bytes of a JPEG file of 180 x 241 pixels with halved colour resolution."""
  return golden['image/small_180x241']


@pytest.fixture
def run():
  """A function that evaluates tensors of a graph that is the test's own."""
  with tf.Graph().as_default(), tf.Session() as session:
    yield session.run


@pytest.fixture
def sample(run):
  """A function that stacks what `draw(seed)` returns for `count` different seeds."""
  def sample(draw, count, dtype=tf.float32):
    seeds = tf.constant([[i, 0] for i in range(count)], tf.int64)
    return run(tf.map_fn(draw, seeds, dtype))
  return sample


@pytest.fixture
def seeds(run):
  """A function that returns the seeds in the graph, those in its functions apart, as tuples."""
  def seeds():
    return list(map(tuple, run([
        tensor for op in tf.get_default_graph().get_operations()
        for argument, tensor in zip(op.op_def.input_arg, op.inputs) if argument.name == 'seed'])))
  return seeds


@pytest.fixture
def assert_golden(golden, run):
  """A function that holds `preprocess_image` to its golden outputs, bit for bit."""
  def assert_golden(name, preprocess_image):
    data = tf.placeholder(tf.string, [])
    outputs = {}
    keys = [key for key in golden if key.startswith(name + '/')]
    assert keys
    for key in keys:
      _, image, size = key.split('/')
      height, width = map(int, size.split('x'))
      if size not in outputs:
        outputs[size] = preprocess_image(data, height, width)
      output = run(outputs[size], {data: golden[f'image/{image}']})
      assert output.shape == (height, width, 3), key
      assert output.dtype == np.float32, key
      step = 8 if min(height, width) >= 64 else 1
      # A golden output may be grey; encoded images always come in three channels.
      expected = np.broadcast_to(golden[key], output[::step, ::step].shape)
      np.testing.assert_array_equal(output[::step, ::step], expected, key)
  return assert_golden


@pytest.fixture
def assert_same_decoded(golden, run):
  """A function that asserts that decoded images give what encoded ones give, bit for bit.

  In training, whose windows are not exact otherwise, that of JPEGs of full colour resolution.
  """
  def decode(data):
    return tf.image.decode_image(data, channels=3, expand_animations=False)

  def assert_same_decoded(preprocess_image, **kwargs):
    data = file = tf.placeholder(tf.string, [])
    if kwargs.get('is_training'):
      data = tf.image.encode_jpeg(decode(file), chroma_downsampling=False)
    pixels = decode(data)
    outputs = [preprocess_image(image, 40, 56, **kwargs) for image in (data, pixels)]
    for key in [key for key in golden if key.startswith('image/')]:
      np.testing.assert_array_equal(*run(outputs, {file: golden[key]}), key)
  return assert_same_decoded
