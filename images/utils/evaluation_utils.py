"""Counts how often a network is right, each image once, over all ranks."""
import os

from absl import logging

from images.utils import (
    cluster_utils,
    file_utils,
    inference_utils,
    preparation_utils,
    stall_utils,
)
from images.utils.tf1 import tf

RESULT = 'evaluation.json'
_TAGS = {'accuracy': 'top_1', 'top_5_accuracy': 'top_5'}  # Training also uses 'accuracy'.


def evaluate(iterator, batch, *, logits, checkpoint, max_bad_fraction, config=None,
             use_ema_weights=False):
  """Evaluate the network on all images of `iterator`; return the same result on every rank.

  Args:
    iterator: initializable tf.data iterator over this rank's images.
    batch: its next element, a dict with 'label', int64 [batch], and 'good', bool [batch],
      False for an undecodable image.
    logits: float32 [batch, classes], the network's output for the batch.
    checkpoint: string, path of the checkpoint with the network's variables; only the chief
      needs to see it.
    max_bad_fraction: float, the fraction of the images that may be undecodable.
    config: tf.ConfigProto.
    use_ema_weights: bool, see checkpoint_utils.stored_names().

  Returns:
    dict: the ints 'images' (the decodable ones), 'top_1_count', 'top_5_count', 'skipped'
    (undecodable images) and 'not_finite' (images whose logits are not all finite, which count as
    wrong); 'top_1' and 'top_5', fractions of 'images'; 'checkpoint', and its 'step' or None.

  Raises:
    ValueError: the checkpoint does not fit the network, there are no images, or too many of them
      cannot be decoded.
  """
  good, labels = batch['good'], batch['label']
  counts = tf.stack([tf.math.count_nonzero(chosen) for chosen in (
      good, good & _in_top_k(logits, labels, 1), good & _in_top_k(logits, labels, 5), ~good,
      good & ~_are_finite(logits))])
  totals = [0] * counts.shape[0]
  with _restored_session(checkpoint, config, use_ema_weights) as session, \
      stall_utils.watched(lambda: 'the same command repeats the evaluation'):
    session.run(iterator.initializer)
    while True:
      try:
        of_batch = session.run(counts)
      except tf.errors.OutOfRangeError:
        break
      totals = [int(a + b) for a, b in zip(totals, of_batch)]
      stall_utils.heartbeat()
  return _summarize(cluster_utils.gather_objects(totals), checkpoint, max_bad_fraction)


def _restored_session(checkpoint, config, use_ema_weights):
  """Return a session in which the variables have the values of the chief's checkpoint."""
  broadcast = cluster_utils.broadcast_global_variables()
  if cluster_utils.is_chief():
    session = inference_utils.restored_session(checkpoint, config, use_ema_weights=use_ema_weights)
  else:
    session = tf.Session(config=config)
    session.run(tf.global_variables_initializer())
  with stall_utils.watched():
    session.run(broadcast)
  return session


def _in_top_k(logits, labels, k):
  """Return whether each label is among the k largest logits and all are finite, bool [batch].

  Of equal logits the first counts as the largest, as in argmax. tf.nn.in_top_k counts all of them:
  with it, a network that gives every class the same logit would be right on every image.
  """
  best = tf.math.top_k(logits, min(k, logits.shape[-1])).indices
  found = tf.reduce_any(tf.equal(tf.cast(best, labels.dtype), labels[:, None]), axis=1)
  return found & _are_finite(logits)


def _are_finite(logits):
  """Return whether all logits of an image are finite, bool [batch]."""
  return tf.reduce_all(tf.is_finite(logits), axis=1)


def _summarize(counts_of_ranks, checkpoint, max_bad_fraction):
  """Return the result for the [images, top-1, top-5, skipped, not finite] of every rank."""
  images, top_1, top_5, skipped, not_finite = (sum(counts) for counts in zip(*counts_of_ranks))
  if not images:
    raise ValueError('the evaluation files have no image that can be decoded')
  if skipped > preparation_utils.allowed_bad(max_bad_fraction, images + skipped):
    raise ValueError(f'undecodable images: {skipped} of {images + skipped}, more than '
                     f'--max_bad_fraction={max_bad_fraction} allows')
  step = cluster_utils.broadcast_object(_step(checkpoint) if cluster_utils.is_chief() else None)
  return {'images': images, 'top_1_count': top_1, 'top_5_count': top_5, 'skipped': skipped,
          'not_finite': not_finite, 'top_1': top_1 / images, 'top_5': top_5 / images,
          'checkpoint': checkpoint, 'step': step}


def _step(checkpoint):
  """Return the global step of a checkpoint, an int, or None."""
  reader = tf.train.load_checkpoint(checkpoint)
  return int(reader.get_tensor('global_step')) if reader.has_tensor('global_step') else None


def report(result, output_dir):
  """Log the `result` of evaluate(), and write it to evaluation.json in `output_dir`.

  `result` must also hold 'compute', the name of the dtype that the network computes in; any other
  entries are written as well. The accuracies also go to an event file in `output_dir`/eval, where
  TensorBoard finds those of all evaluations.
  """
  logging.info('top-1 %.4f (%d of %d), top-5 %.4f (%d)%s, in %s: %s', result['top_1'],
               result['top_1_count'], result['images'], result['top_5'], result['top_5_count'],
               f', {result["skipped"]} undecodable images skipped' if result['skipped'] else '',
               result['compute'], result['checkpoint'])
  if result['not_finite']:
    logging.warning("the network's output for %d of the images is not finite; these count as "
                    'wrong: check its weights, or evaluate with --use_fp16=False',
                    result['not_finite'])
  path = os.path.join(output_dir, RESULT)
  file_utils.write_json(path, result)
  # The file's name also has the time, but two evaluations may end in the same second.
  with tf.Graph().as_default(), tf.summary.FileWriter(
      os.path.join(output_dir, 'eval'), filename_suffix=f'.{os.getpid()}') as writer:
    writer.add_summary(tf.Summary(value=[
        tf.Summary.Value(tag=tag, simple_value=result[name]) for tag, name in _TAGS.items()]),
                       result['step'])
  logging.info('written to %s', path)
