"""Classifying image files and writing a SavedModel, with a network of one weight."""
import glob
import os
import pathlib

import numpy as np
import PIL.Image
import pytest
from tensorflow.core.framework import dataset_options_pb2

from images.utils import inference_utils, stall_utils
from images.utils.tf1 import tf

BRIGHT, DARK = 200, 10


def preprocess(encoded):
  """Return the brightness of an encoded image as a float image [1, 1, 1] in [0, 1]."""
  pixels = tf.cast(tf.image.decode_png(encoded, channels=1), tf.float32)
  return tf.reshape(tf.reduce_mean(pixels) / 255, [1, 1, 1])


def network(images):
  """Return logits [batch, 3]: (0, weight x brightness, -1)."""
  weight = tf.get_variable('weight', initializer=0.0)
  brightness = tf.reshape(images, [-1]) * weight
  return tf.stack([tf.zeros_like(brightness), brightness, -tf.ones_like(brightness)], axis=1)


@pytest.fixture
def checkpoint(tmp_path):
  """A checkpoint with the weight 2."""
  with tf.Graph().as_default(), tf.Session() as session:
    weight = tf.get_variable('weight', initializer=2.0)
    session.run(weight.initializer)
    return tf.train.Saver().save(session, str(tmp_path / 'model.ckpt'), global_step=7)


@pytest.mark.parametrize(('mode', 'readable'), [('P', False), ('L', False), ('RGB', True)])
def test_a_bmp_with_a_palette_is_no_image(tmp_path, mode, readable):
  """TensorFlow takes its numbers of colours for shades of grey, which few of them are."""
  path = tmp_path / 'a.bmp'
  PIL.Image.new('RGB', (4, 5), (200, 10, 10)).convert(mode).save(path)
  with tf.Graph().as_default(), tf.Session() as session:
    paths, images = inference_utils.image_batches(
        [str(path)], lambda encoded: tf.image.decode_image(encoded, 3, expand_animations=False),
        batch_size=1)
    decoded = inference_utils.decoded_batch(
        tf.constant([path.read_bytes()]),
        lambda encoded: tf.image.decode_image(encoded, 3, expand_animations=False))
    if readable:
      for pixels in session.run([images, decoded]):
        np.testing.assert_array_equal(pixels[0, 0, 0], [200, 10, 10])
      return
    with pytest.raises(tf.errors.OutOfRangeError):
      session.run(paths)
    with pytest.raises(tf.errors.InvalidArgumentError, match='a BMP with a palette'):
      session.run(decoded)


@pytest.fixture
def photos(tmp_path):
  """Two image files, a dark and a bright one."""
  with tf.Graph().as_default(), tf.Session() as session:
    for name, value in [('a.png', DARK), ('b.png', BRIGHT)]:
      png = session.run(tf.image.encode_png(np.full([4, 5, 1], value, np.uint8)))
      (tmp_path / name).write_bytes(png)
  return str(tmp_path / '*.png')


def expected(value):
  logits = np.array([0, 2 * value / 255, -1])
  return np.exp(logits) / np.exp(logits).sum()


@pytest.mark.parametrize(('num_labels', 'warned'), [(2, False), (1, True), (3, True)])
def test_the_names_of_the_classes(tmp_path, caplog, num_labels, warned):
  assert inference_utils.class_names(None, num_labels=num_labels) == {}
  (tmp_path / 'labels.txt').write_text('0:cat\n1:dog\n')
  names = inference_utils.class_names(str(tmp_path), num_labels=num_labels)
  assert names == {0: 'cat', 1: 'dog'}
  assert (f'names for 2 classes, but the network has {num_labels}: ' in caplog.text) == warned


def test_files_come_with_their_classes_likeliest_first(checkpoint, photos):
  with tf.Graph().as_default():
    paths = inference_utils.find_images(photos)
    batch, images = inference_utils.image_batches(paths, preprocess, batch_size=1)
    found = dict(inference_utils.classify(batch, network(images), checkpoint=checkpoint,
                                          names={0: 'x', 1: 'y'}))
  assert [os.path.basename(path) for path in found] == ['a.png', 'b.png']
  for path, value in zip(paths, [DARK, BRIGHT]):
    # The third class has no name, so it comes as its number.
    assert [name for name, _ in found[path]] == ['y', 'x', '2']
    shares = expected(value)
    np.testing.assert_allclose([share for _, share in found[path]],
                               [shares[1], shares[0], shares[2]], rtol=1e-5)


def test_without_names_classes_come_as_their_labels(checkpoint, photos):
  with tf.Graph().as_default():
    batch, images = inference_utils.image_batches(
        inference_utils.find_images(photos), preprocess, batch_size=2)
    found = dict(inference_utils.classify(batch, network(images), checkpoint=checkpoint))
  for classes in found.values():
    assert [name for name, _ in classes] == ['1', '0', '2']


def test_each_batch_is_progress(checkpoint, photos, monkeypatch):
  """Other ranks wait at their end meanwhile."""
  moves = []
  monkeypatch.setattr(stall_utils, 'heartbeat', lambda: moves.append('batch'))
  with tf.Graph().as_default():
    paths = inference_utils.find_images(photos)
    batch, images = inference_utils.image_batches(paths, preprocess, batch_size=1)
    assert len(list(inference_utils.classify(batch, network(images), checkpoint=checkpoint))) == 2
  assert len(moves) == 2


def test_averages_and_labels_from_one_on(tmp_path, photos):
  with tf.Graph().as_default(), tf.Session() as session:
    tf.get_variable('weight', initializer=0.0)
    tf.get_variable('weight/ExponentialMovingAverage', initializer=2.0)
    session.run(tf.global_variables_initializer())
    checkpoint = tf.train.Saver().save(session, str(tmp_path / 'averaged.ckpt'))
  with tf.Graph().as_default():
    paths = inference_utils.find_images(photos)
    batch, images = inference_utils.image_batches(paths, preprocess, batch_size=2)
    # A network whose class 0 is background, for labels that start at 0.
    found = dict(inference_utils.classify(batch, network(images), checkpoint=checkpoint,
                                          names={0: 'x', 1: 'y'}, labels_offset=-1,
                                          use_ema_weights=True))
  assert [name for name, _ in found[paths[1]]] == ['x', 'background', 'y']
  assert found[paths[1]][0][1] == pytest.approx(expected(BRIGHT)[1], rel=1e-5)


def test_a_file_that_is_no_image_is_left_out(checkpoint, photos, tmp_path):
  (tmp_path / 'aa.png').write_bytes(b'no image')
  with tf.Graph().as_default():
    paths = inference_utils.find_images(f'{photos},')
    assert len(paths) == 3
    batch, images = inference_utils.image_batches(paths, preprocess, batch_size=1)
    found = [path for path, _ in inference_utils.classify(batch, network(images),
                                                          checkpoint=checkpoint)]
  assert found == [f'{tmp_path}/a.png', f'{tmp_path}/b.png']
  inference_utils.check_complete(found, found)
  with pytest.raises(ValueError, match=rf'1 of 3 cannot be used, .*: {tmp_path}/aa\.png$'):
    inference_utils.check_complete(paths, found)


def test_the_end_waits_for_no_tuner(photos):
  """That of tf.data wakes up once a minute, and closing a session waits for it."""
  with tf.Graph().as_default() as graph:
    paths = inference_utils.find_images(photos)
    inference_utils.image_batches(paths, preprocess, batch_size=2, num_preprocessing_threads=3)
    [function] = [function for function in graph.as_graph_def().library.function
                  if 'OptionsDataset' in {node.op for node in function.node_def}]
  nodes = {node.op: node.attr for node in function.node_def}
  options = dataset_options_pb2.Options.FromString(nodes['OptionsDataset']['serialized_options'].s)
  assert options.autotune_options.HasField('enabled')
  assert not options.autotune_options.enabled
  assert options.threading_options.private_threadpool_size == 3


def test_probabilities_that_are_not_finite_are_an_error(checkpoint, photos, tmp_path):
  with tf.Graph().as_default():
    paths = inference_utils.find_images(photos)
    batch, images = inference_utils.image_batches(paths, preprocess, batch_size=2)
    logits = network(tf.where(images > DARK / 255, images * np.nan, images))
    found = inference_utils.classify(batch, logits, checkpoint=checkpoint)
    assert next(found)[0] == f'{tmp_path}/a.png'
    with pytest.raises(
        ValueError, match=rf'output for {tmp_path}/b\.png is not finite: .* in {checkpoint}'):
      next(found)


def test_a_name_may_look_like_a_pattern(tmp_path):
  path = tmp_path / 'photo[1].jpg'
  path.touch()
  assert inference_utils.find_images(str(path)) == [str(path)]


def test_a_file_is_found_once_and_directories_are_not(tmp_path, monkeypatch):
  (tmp_path / 'aa').mkdir()
  for name in ('a', 'b'):
    (tmp_path / name).touch()
  assert inference_utils.find_images(f'{tmp_path}/b, {tmp_path}/*') == [
      f'{tmp_path}/b', f'{tmp_path}/a']
  monkeypatch.chdir(tmp_path)
  assert inference_utils.find_images('b,*') == ['b', './a']


def test_an_image_without_a_byte_is_told_by_the_decoder():
  with tf.Graph().as_default(), tf.Session() as session:
    images = inference_utils.decoded_batch(tf.constant([b'']), preprocess)
    with pytest.raises(tf.errors.InvalidArgumentError, match='Input is empty'):
      session.run(images)


def test_no_pattern_and_a_pattern_without_files_are_errors(tmp_path):
  for patterns in (None, '', ' ,'):
    with pytest.raises(ValueError, match='--predict_files is needed'):
      inference_utils.find_images(patterns)
  with pytest.raises(FileNotFoundError, match="matches 'cat'; if a name contains a comma, write "):
    inference_utils.find_images('cat, dog.jpg')
  with pytest.raises(FileNotFoundError, match=r"no file matches '.*\.jpg'$"):
    inference_utils.find_images(str(tmp_path / '*.jpg'))


def test_a_directory_is_an_error(tmp_path):
  for name in (tmp_path, f'{tmp_path}/'):
    with pytest.raises(ValueError, match=rf"{name} is a directory: give '{tmp_path}/\*'"):
      inference_utils.find_images(str(name))


def test_a_checkpoint_of_another_network_is_refused(checkpoint):
  with tf.Graph().as_default():
    tf.get_variable('weight', initializer=[1.0, 2.0])
    with pytest.raises(ValueError, match=r'weight has shape \[\] in it, \[2\] here'):
      inference_utils.restored_session(checkpoint)


def test_a_batch_has_the_dtype_of_its_images(photos):
  encoded = [pathlib.Path(path).read_bytes() for path in inference_utils.find_images(photos)]
  with tf.Graph().as_default(), tf.Session() as session:
    images = session.run(inference_utils.decoded_batch(tf.constant(encoded), tf.image.decode_png))
  assert images.dtype == np.uint8
  assert (images[0] == DARK).all()
  assert (images[1] == BRIGHT).all()


def test_the_saved_model_takes_encoded_images(tmp_path, checkpoint, photos):
  export_dir = str(tmp_path / 'saved_model')
  os.makedirs(f'{export_dir}.partial/variables')  # As an export that was killed leaves it.
  with tf.Graph().as_default():
    encoded = tf.placeholder(tf.string, [None])
    logits = network(inference_utils.decoded_batch(encoded, preprocess))
    assert export_dir == inference_utils.export(
        encoded, logits, checkpoint=checkpoint, export_dir=export_dir, labels_offset=3)
    with pytest.raises(FileExistsError, match='saved_model exists'):
      inference_utils.export(encoded, logits, checkpoint=checkpoint, export_dir=export_dir)
  assert not os.path.exists(export_dir + '.partial')
  with tf.Graph().as_default(), tf.Session() as session:
    model = tf.saved_model.load(session, ['serve'], export_dir)
    signature = model.signature_def['serving_default']
    images = [pathlib.Path(path).read_bytes() for path in inference_utils.find_images(photos)]
    probabilities, classes = session.run(
        [signature.outputs['probabilities'].name, signature.outputs['classes'].name],
        {signature.inputs['images'].name: images})
  np.testing.assert_allclose(probabilities, [expected(DARK), expected(BRIGHT)], rtol=1e-5)
  assert classes.tolist() == [4, 4]


def test_nothing_is_left_of_an_export_that_fails(tmp_path, checkpoint, monkeypatch):
  export_dir = str(tmp_path / 'saved_model')

  def fill_the_disk(_, directory, **__):
    os.makedirs(directory)
    raise tf.errors.ResourceExhaustedError(None, None, 'No space left on device')

  monkeypatch.setattr(tf.saved_model, 'simple_save', fill_the_disk)
  with tf.Graph().as_default():
    encoded = tf.placeholder(tf.string, [None])
    logits = network(inference_utils.decoded_batch(encoded, preprocess))
    with pytest.raises(tf.errors.ResourceExhaustedError):
      inference_utils.export(encoded, logits, checkpoint=checkpoint, export_dir=export_dir)
  assert glob.glob(export_dir + '*') == []
