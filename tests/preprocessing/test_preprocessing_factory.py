"""Every network name has its preprocessing, which meets every image."""
import functools
import re

import numpy as np
import pytest

from images.preprocessing import (
    cifarnet_preprocessing,
    inception_preprocessing,
    lenet_preprocessing,
    vgg_preprocessing,
)
from images.preprocessing.preprocessing_factory import (
    get_halves,
    get_preprocessing,
    preprocessing_fn_map,
)
from images.utils.tf1 import tf

MODULES = {
    'cifarnet': cifarnet_preprocessing,
    'inception': inception_preprocessing,
    'lenet': lenet_preprocessing,
    'vgg': vgg_preprocessing,
}


@pytest.mark.parametrize(('network', 'module'), [
    ('resnet_v1_50', 'vgg'), ('resnet_v2_200', 'vgg'), ('vgg_19', 'vgg'),
    ('inception_v3', 'inception'), ('mobilenet_v1_025', 'inception'),
    ('mobilenet_v3_large', 'inception'), ('alexnet_v2', 'inception'),
    ('nasnet_cifar', 'cifarnet'), ('lenet', 'lenet'), *((name, name) for name in MODULES),
])
def test_networks_have_the_preprocessing_they_were_published_with(network, module):
  assert preprocessing_fn_map[network] is MODULES[module].preprocess_image


def test_all_networks_are_there():
  assert len(preprocessing_fn_map) == 40
  assert set(preprocessing_fn_map.values()) == {
      module.preprocess_image for module in MODULES.values()}


def test_an_unknown_name_lists_the_nearest_first():
  with pytest.raises(ValueError, match=r"--preprocessing_name\): 'vgg16'.*first: vgg_16"):
    get_preprocessing('vgg16')


@pytest.mark.parametrize('name', MODULES)
@pytest.mark.parametrize('is_training', [True, False])
def test_the_shape_is_known_before_the_image_is(name, is_training):
  with tf.Graph().as_default():
    for image in (tf.placeholder(tf.string, []), tf.placeholder(tf.uint8, [None, None, 3])):
      output = get_preprocessing(name, is_training)(image, 48, 32)
      assert output.shape == [48, 32, 3]
      assert output.dtype == tf.float32


@pytest.mark.parametrize('name', MODULES)
@pytest.mark.parametrize('is_training', [True, False])
def test_bytes_that_are_no_image_are_an_error(run, name, is_training):
  output = get_preprocessing(name, is_training)(tf.constant(b'no image'), 48, 32)
  with pytest.raises(tf.errors.InvalidArgumentError):
    run(output)


def test_further_arguments_reach_the_module(run):
  image = np.full([40, 40, 3], 9, np.uint8)
  preprocessing_fn = get_preprocessing('vgg', is_training=True)
  output = preprocessing_fn(image, 40, 40, seed=1, resize_side_min=40, resize_side_max=40)
  np.testing.assert_allclose(run(output)[0, 0], 9 - np.array(vgg_preprocessing.MEAN_RGB), 1e-5)


def test_it_maps_over_a_data_set_repeatably(run, golden):
  images = [data for key, data in golden.items() if key.startswith('image/')]
  preprocessing_fn = get_preprocessing('inception_v1', is_training=True)

  def epoch():
    dataset = tf.data.Dataset.from_tensor_slices(images).enumerate()
    dataset = dataset.map(lambda index, image: preprocessing_fn(image, 32, 32, seed=(index, 7)),
                          num_parallel_calls=2)
    return tf.data.make_one_shot_iterator(dataset.batch(len(images))).get_next()

  one, other = run([epoch(), epoch()])
  assert one.shape == (len(images), 32, 32, 3)
  np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize('name', MODULES)
@pytest.mark.parametrize('is_training', [True, False])
@pytest.mark.parametrize('dtype', [tf.string, tf.uint8, tf.float32])
def test_halves_make_the_whole(run, photo, name, is_training, dtype):
  image = photo if dtype == tf.string else tf.image.convert_image_dtype(
      tf.image.decode_jpeg(photo), dtype)
  on_host, on_device = get_halves(name, is_training)
  half = on_host(image, 48, 32, seed=1)
  whole = get_preprocessing(name, is_training)(image, 48, 32, seed=1)
  assert half.dtype == (tf.uint8 if name == 'lenet' and dtype != tf.float32 else tf.float32)
  half, batch, image = run([half, on_device(half[None]), whole])
  assert batch.dtype == np.float32
  np.testing.assert_array_equal(batch, image[None])
  # What CifarNet's ends in are sums, which a device adds in an order of its own.
  assert np.array_equal(half, image) == (name == 'cifarnet')


def test_a_preprocessing_of_ones_own_is_not_halved(run, monkeypatch):
  monkeypatch.setitem(preprocessing_fn_map, 'cut', functools.partial(
      lenet_preprocessing.preprocess_image, is_training=False))
  on_host, on_device = get_halves('cut')
  half = on_host(np.zeros([4, 4, 3], np.uint8), 4, 4)
  np.testing.assert_array_equal(run(half), -1)
  np.testing.assert_array_equal(run(on_device(half)), -1)


def test_every_network_has_the_preprocessing_of_its_family():
  families = {'vgg': 'vgg|resnet', 'cifarnet': 'cifarnet|nasnet_cifar', 'lenet': 'lenet'}
  for name, preprocess_image in preprocessing_fn_map.items():
    module = next((module for module, names in families.items() if re.match(names, name)),
                  'inception')
    assert preprocess_image is MODULES[module].preprocess_image, name
