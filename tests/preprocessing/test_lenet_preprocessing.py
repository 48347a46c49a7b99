"""LeNet preprocessing: published outputs; training and evaluation are the same."""
import numpy as np
import pytest

from images.preprocessing.lenet_preprocessing import preprocess_image
from images.utils.tf1 import tf


def test_it_is_as_published(assert_golden):
  assert_golden('lenet', preprocess_image)


def test_decoded_or_not_gives_the_same(assert_same_decoded):
  assert_same_decoded(preprocess_image)


def test_training_changes_nothing(run, golden):
  image = tf.constant(golden['image/mnist_28'])
  evaluated, trained = run([preprocess_image(image, 28, 28),
                            preprocess_image(image, 28, 28, is_training=True, seed=1)])
  np.testing.assert_array_equal(evaluated, trained)


@pytest.mark.parametrize('channels', [1, 3])
def test_decoded_images_keep_their_channels(run, channels):
  image = np.random.RandomState(0).randint(0, 256, (28, 28, channels), np.uint8)
  output = preprocess_image(image, 28, 28)
  assert output.shape == [28, 28, channels]
  np.testing.assert_array_equal(run(output), (image - np.float32(128)) / np.float32(128))


def test_what_is_added_around_an_image_is_black(run):
  output = run(preprocess_image(np.full([2, 3, 3], 255, np.uint8), 6, 5))
  assert (output == -1).sum() == (6 * 5 - 2 * 3) * 3
  np.testing.assert_array_equal(output[2:4, 1:4], np.full([2, 3, 3], 127 / 128))
