"""Reads the records of TFRecord files, or of parts of them, several files at the same time."""
from images.utils import stall_utils
from images.utils.tf1 import tf

# How many files are read at the same time, and how many records are taken from one before the next.
_FILES = 4
_BLOCK = 16

# How many records are read from a file between two heartbeats for the watch over stalls.
_RECORDS_PER_HEARTBEAT = 256


def interleave(paths, first, last):
  """Return a dataset of (path, number in the file, record) of parts of files, interleaved.

  A file that ends before its `last` record is an error.

  Args:
    paths: strings [files].
    first, last: int64 [files], the number of a part's first record and the one after its last.
  """
  def read(path, first, last):
    # zip() calls no function for each record, as map() would. It ends when the numbers end, before
    # it asks for one more record.
    return tf.data.Dataset.zip((
        _with_heartbeats(path),
        tf.data.Dataset.range(first, last),
        # The reader itself skips, in a fifth of the time that it takes to read.
        tf.data.TFRecordDataset(path).skip(first).concatenate(_too_short(path, last))))
  return tf.data.Dataset.from_tensor_slices((paths, first, last)).interleave(
      read, cycle_length=_FILES, block_length=_BLOCK, num_parallel_calls=_FILES)


def _with_heartbeats(path):
  """Return a dataset that repeats `path`, a scalar string, without end, and sends heartbeats.

  By these, a rank that still reads is not taken for one that hangs, however many records it has to
  skip after a resume.
  """
  def tell(path):
    with tf.control_dependencies([tf.numpy_function(stall_utils.heartbeat, [], [])]):
      return tf.data.Dataset.from_tensors(tf.identity(path)).repeat(_RECORDS_PER_HEARTBEAT)
  return tf.data.Dataset.from_tensors(path).repeat().flat_map(tell)


def _too_short(path, last):
  """Return a dataset that fails, for the end of a file that should have at least `last` records."""
  def fail(path):
    words = [path, 'has fewer than', last, 'records now: restore it, and the same command '
             'continues']
    with tf.control_dependencies([tf.debugging.Assert(False, words)]):
      return tf.identity(path)
  return tf.data.Dataset.from_tensors(path).map(fail)
