import errno
import os
import re
import shlex
import subprocess
import sys

import pytest

from images.datasets import tfrecord
from images.utils import cluster_utils, error_utils
from images.utils.error_utils import TrainingError
from images.utils.tf1 import tf
from tests import launch
from tests.datasets import make_data


def read_all(paths, tmp_path, check=lambda record: record):
  """Read TFRecord files in a session, as training does, under explained()."""
  with tf.Graph().as_default(), tf.Session() as session, \
       error_utils.explained(paths, str(tmp_path)):
    dataset = tf.data.TFRecordDataset(paths).map(check)
    record = tf.data.make_one_shot_iterator(dataset).get_next()
    for _ in range(20):
      session.run(record)


@pytest.fixture
def paths(tmp_path):
  return [make_data.write_records(tmp_path / name, [bytes([k]) * 100 for k in range(5)])
          for name in ('a', 'b', 'c')]


def test_a_truncated_file_is_named(paths, tmp_path, caplog):
  os.truncate(paths[1], os.path.getsize(paths[1]) - 7)
  with pytest.raises(TrainingError, match=f'^{tmp_path}/b: record 4 ') as error:
    read_all(paths, tmp_path)
  assert isinstance(error.value.__cause__, tf.errors.DataLossError)
  # The search may take long, or be cut short.
  [message] = caplog.messages
  assert message.startswith('a record is corrupt (truncated record at 464')
  assert message.endswith('): reading all files to find out which')


def test_a_damaged_file_is_named(paths, tmp_path):
  with open(paths[2], 'r+b') as file:
    file.seek(116 * 2 + 50)
    file.write(b'?')
  with pytest.raises(TrainingError, match=f'^{tmp_path}/c: record 2 '):
    read_all(paths, tmp_path)


@pytest.mark.parametrize('names', [['b'], ["it's [1]/x-a.tfrecord", "it's [1]/z.tfrecord"]])
def test_other_ranks_do_not_wait_until_all_files_are_read(tmp_path, monkeypatch, names):
  (tmp_path / "it's [1]").mkdir()
  (tmp_path / "it's [1]" / 'labels.txt').write_text('0:cat')
  paths = [make_data.write_records(tmp_path / name, [bytes([k]) * 100 for k in range(5)])
           for name in names]
  os.truncate(paths[-1], os.path.getsize(paths[-1]) - 7)
  monkeypatch.setattr(cluster_utils, 'size', lambda: 2)
  monkeypatch.setattr(error_utils, '_SEARCH_SECS', 0)
  with pytest.raises(TrainingError, match='^a file cannot be read: truncated record') as error:
    read_all(paths, tmp_path)
  _, *words = shlex.split(re.search(
      r'\. To find it \(this takes long\), run: (python -c .*)', str(error.value))[1])
  done = subprocess.run([sys.executable, *words], cwd=launch.ROOT, text=True,
                        stdout=subprocess.PIPE, check=True)
  assert done.stdout.startswith(f'{paths[-1]}: record 4 ')


def test_a_failed_assertion_is_told_in_its_words(paths, tmp_path):
  def check(record):
    label = tf.constant(7, tf.int64)
    with tf.control_dependencies([tf.debugging.Assert(
        label < 5, ['label', label, 'is outside [0, 5): set --num_classes; file', record])]):
      return tf.identity(tf.constant(1))
  with pytest.raises(TrainingError) as error:
    read_all([make_data.write_records(tmp_path / 'f', [b'/data/x.tfrecord'])], tmp_path, check)
  assert str(error.value) == (
      'label 7 is outside [0, 5): set --num_classes; file /data/x.tfrecord')


def test_the_reason_without_the_places_in_the_graph(tmp_path):
  """Whatever fails in a session comes as one line, and keeps its traceback."""
  with tf.Graph().as_default(), tf.Session() as session, \
       pytest.raises(TrainingError) as error, error_utils.explained([], str(tmp_path)):
    session.run(tf.reshape(tf.placeholder_with_default(tf.ones([4]), [None]), [3]))
  assert str(error.value) == ('Input to reshape is a tensor with 4 values, but the requested shape '
                              'has 3 (InvalidArgumentError, traceback above)')


def test_a_missing_file(paths, tmp_path):
  os.remove(paths[1])
  with pytest.raises(TrainingError, match=f'{tmp_path}/b; No such file or directory '):
    read_all(paths, tmp_path)


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='only Linux has /dev/full')
def test_no_space_left(tmp_path):
  with tf.Graph().as_default(), tf.Session() as session:
    write = tf.io.write_file('/dev/full', tf.constant('x' * 10000))
    with pytest.raises(TrainingError) as error, error_utils.explained([], '/runs/a'):
      session.run(write)
  assert str(error.value).startswith('no space left for the run in /runs/a (')
  assert os.strerror(errno.ENOSPC) in str(error.value)
  assert str(error.value).endswith('no checkpoint was written yet. Free space and start the same '
                                   'command with --output_dir=/runs/a again')


@pytest.mark.parametrize(('message', 'words'), [
    ('{}/events.1; No space left on device', 'no space left for the run in {} ('),
    ('{}/events.1; Operation not permitted', 'the run can no longer write to {} (')])
@pytest.mark.parametrize('kind', [RuntimeError, lambda m: tf.errors.UnknownError(None, None, m)])
def test_a_directory_that_can_no_longer_be_written(tmp_path, kind, message, words):
  """A writer of events has errors of its own."""
  with pytest.raises(TrainingError) as error, error_utils.explained([], str(tmp_path)):
    raise kind(message.format(tmp_path))
  assert str(error.value).startswith(words.format(tmp_path))
  assert re.search('; no checkpoint was written yet. (Free space|Fix that) and start the same '
                   f'command with --output_dir={tmp_path} again$', str(error.value))


@pytest.mark.parametrize(('folder', 'own'), [('{}', True), ('{}/', True), ('/runs/a', False)])
@pytest.mark.parametrize('known', ['constant', 'told'])
def test_a_checkpoint_that_cannot_be_read(tmp_path, folder, own, known):
  path = f'{tmp_path}/model.ckpt-3'
  with tf.Graph().as_default(), tf.Session() as session:
    name = tf.constant(path) if known == 'constant' else tf.placeholder_with_default('x', [])
    value = tf.raw_ops.RestoreV2(prefix=name, tensor_names=['w'], shape_and_slices=[''],
                                 dtypes=[tf.float32])
    with pytest.raises(TrainingError) as error, \
        error_utils.explained([], folder.format(tmp_path), path):
      session.run(value, {name: path})
  assert str(error.value).startswith(f'the checkpoint {path} cannot be read: ')
  assert str(error.value).endswith(
      f'. Copy all of its files again, or remove them ({path}.*), then the same command resumes '
      'from the one before' if own else '. Copy all of its files again')


@pytest.mark.parametrize(('output_dir', 'message', 'is_its_own'), [
    ('.', './model.ckpt-3.index; Stale file handle', True),
    ('.', '/data/a.tfrecord; Stale file handle', False),
    ('/data', '/data/a.tfrecord; Stale file handle', False),
    ('/data', '/data/events.1; Stale file handle', True),
    ('/data/', '/data/events.1; Stale file handle', True),
    ('/data', '/data2/events.1; Stale file handle', False),
    ('runs/a', '/old/runs/a/events.1; Stale file handle', False),
    ('/runs', '/runs/events.1; Disk quota exceeded', True),
    ('/runs', '/quota/a.tfrecord; No such file or directory', False)])
def test_what_is_about_writing_to_the_directory_of_the_run(output_dir, message, is_its_own):
  with pytest.raises(TrainingError) as error, \
      error_utils.explained(['/data/a.tfrecord', '/quota/a.tfrecord'], output_dir):
    raise tf.errors.UnknownError(None, None, message)
  assert (f'start the same command with --output_dir={output_dir} again' in str(error.value)
          ) == is_its_own


def test_too_many_open_files():
  """Which TensorFlow takes for a lack of memory."""
  with pytest.raises(TrainingError) as error, error_utils.explained([], '/runs'):
    raise tf.errors.ResourceExhaustedError(None, None, '/data/a.tfrecord; Too many open files')
  assert str(error.value) == ('/data/a.tfrecord; Too many open files. Raise the limit (ulimit '
                              '-n 65536), then start the same command again')


def test_other_runtime_errors_pass(tmp_path):
  for error in (RuntimeError('x'), TrainingError('No space left')):
    with pytest.raises(RuntimeError) as found, error_utils.explained([], str(tmp_path)):
      raise error
    assert found.value is error


def test_a_record_that_is_no_example(tmp_path):
  paths = [make_data.write_records(tmp_path / 'a', [b'not an example'])]
  with pytest.raises(TrainingError, match='Example: .*; convert the data set again$') as error:
    read_all(paths, tmp_path, tfrecord.parse_example)
  assert str(error.value).startswith(f"a record in one of ['{paths[0]}'] is not a "
                                     'tf.train.Example: ')


def test_a_label_of_another_type(tmp_path):
  example = tf.train.Example()
  example.features.feature['image/encoded'].bytes_list.value.append(b'x')
  example.features.feature['image/class/label'].float_list.value.append(1.0)
  paths = [make_data.write_records(tmp_path / 'a', [example.SerializeToString()])]
  with pytest.raises(TrainingError, match='type: .*Labels have to be int64 and images by') as error:
    read_all(paths, tmp_path, tfrecord.parse_example)
  assert str(error.value).startswith(f"a record in one of ['{paths[0]}'] has a feature of the "
                                     'wrong type: Key: image/class/label.')


@pytest.mark.parametrize('message', [
    'Horovod has been shut down. This was caused by an exception on one of the ranks',
    '[/tmp/horovod/third_party/gloo/gloo/transport/tcp/pair.cc:598] Connection closed by peer '
    '[127.0.0.1]:11932'])
def test_the_end_of_another_rank_whoever_notices_it(tmp_path, message):
  with pytest.raises(TrainingError) as error, error_utils.explained([], str(tmp_path)):
    raise tf.errors.UnknownError(None, None, message)
  assert str(error.value) == (
      'another rank has ended; its own output gives the reason; no checkpoint was written '
      f'yet. The same command with --output_dir={tmp_path} resumes the run')


def test_other_errors_pass():
  with pytest.raises(KeyError), error_utils.explained([], 'runs'):
    raise KeyError('x')


def test_the_last_checkpoint(tmp_path):
  assert error_utils.last_checkpoint(str(tmp_path)) == 'no checkpoint was written yet'
  with tf.Graph().as_default(), tf.Session() as session:
    tf.get_variable('w', initializer=1.0)
    session.run(tf.global_variables_initializer())
    tf.train.Saver().save(session, str(tmp_path / 'model.ckpt'), global_step=3)
  assert error_utils.last_checkpoint(str(tmp_path)) == (
      f'the newest checkpoint, {tmp_path}/model.ckpt-3, is complete')
  assert error_utils.last_checkpoint(str(tmp_path), bad_step=3) == (
      f'the newest checkpoint, {tmp_path}/model.ckpt-3, holds the weights that failed, and '
      'there is no earlier one')
