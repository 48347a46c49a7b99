"""The records of TFRecord files, and of parts of them, several files at the same time."""
from images.utils import stall_utils
from images.utils.tf1 import tf

# Files that are read at the same time, and records taken from one before the next.
_FILES = 4
_BLOCK = 16

# Records that are read from a file before the watch over stalls is told so once more.
_TOLD = 256


def interleave(paths, first, last):
  """Return a dataset of (path, number in the file, record) of parts of files, interleaved.

  A file that ends before its `last` record is an error.

  Args:
    paths: strings [files].
    first, last: int64 [files], the first number of a part and the one behind its last.
  """
  def read(path, first, last):
    # Zipping calls no function for each record, as mapping would. It ends with the numbers,
    # before it asks for a record more.
    return tf.data.Dataset.zip((
        _told_to_the_watch(path),
        tf.data.Dataset.range(first, last),
        # The reader itself skips, in a fifth of the time that it takes to read.
        tf.data.TFRecordDataset(path).skip(first).concatenate(_too_short(path, last))))
  return tf.data.Dataset.from_tensor_slices((paths, first, last)).interleave(
      read, cycle_length=_FILES, block_length=_BLOCK, num_parallel_calls=_FILES)


def _told_to_the_watch(path):
  """Return the endless dataset of `path`, a scalar string, an element for each record of its part.

  A rank that reads is no rank that hangs, however much it has to skip after a resume.
  """
  def tell(path):
    with tf.control_dependencies([tf.numpy_function(stall_utils.heartbeat, [], [])]):
      return tf.data.Dataset.from_tensors(tf.identity(path)).repeat(_TOLD)
  return tf.data.Dataset.from_tensors(path).repeat().flat_map(tell)


def _too_short(path, last):
  """Return a dataset for the end of a file that should have `last` records or more: it fails."""
  def fail(path):
    words = [path, 'has fewer than', last, 'records, and had as many before: put it back as it '
             'was, then the same command goes on']
    with tf.control_dependencies([tf.debugging.Assert(False, words)]):
      return tf.identity(path)
  return tf.data.Dataset.from_tensors(path).map(fail)
