import numpy as np
import pytest

from images.utils import accumulation_utils
from images.utils.tf1 import tf


@pytest.mark.parametrize(('steps', 'seen'), [
    (1, [1, 3, 8, 4, 6, 5]), (2, [2, 6, 5.5]), (3, [4, 5])])
def test_updates_see_the_means_of_so_many_runs(steps, seen):
  with tf.Graph().as_default(), tf.Session() as session:
    x = tf.placeholder(tf.float32, [])
    log = tf.get_variable('log', initializer=tf.zeros([6]))
    count = tf.get_variable('count', initializer=0)

    def update(means):
      [mean] = means
      written = tf.scatter_update(log, count, mean)
      with tf.control_dependencies([written]), tf.control_dependencies([count.assign_add(1)]):
        return mean < 6

    verdict, complete = accumulation_utils.every(steps, [x], update)
    session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
    runs = [session.run([verdict, complete], {x: value}) for value in (1, 3, 8, 4, 6, 5)]
    np.testing.assert_array_equal(session.run(log)[:len(seen)], seen)
    assert session.run(count) == len(seen)
  assert [done for _, done in runs] == [(run + 1) % steps == 0 for run in range(6)]
  verdicts = [good for good, done in runs if done]
  assert verdicts == [mean < 6 for mean in seen]
  assert all(good for good, done in runs if not done)


def test_no_checkpoint_holds_the_sums():
  with tf.Graph().as_default():
    accumulation_utils.every(2, [tf.zeros([3])], lambda means: tf.constant(True))
    assert tf.global_variables() == tf.trainable_variables() == []
    assert [v.op.name for v in tf.local_variables()] == ['accumulation/runs', 'accumulation/sum_0']


def test_a_step_has_the_means_of_its_micro_batches():
  means = accumulation_utils.StepMeans()
  runs = [{'loss': 4.0, 'metrics': {'accuracy': 0.5}, 'step': 6, 'complete': False},
          {'loss': 1.0, 'metrics': {'accuracy': 0.75}, 'step': 7, 'complete': True}]
  for _ in range(2):
    assert means.add(runs[0]) is None
    assert means.add(runs[1]) == {'loss': 2.5, 'metrics': {'accuracy': 0.625}, 'step': 7,
                                  'complete': True}
  assert means.add({'loss': 3.0, 'metrics': {}}) == {'loss': 3.0, 'metrics': {}}
