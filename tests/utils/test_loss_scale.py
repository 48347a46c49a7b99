import pytest

from images.utils import loss_scale
from images.utils.tf1 import tf


def trace(verdicts, *, start=None):
  """Return the dynamic scale after each step's verdict."""
  with tf.Graph().as_default(), tf.Session() as session:
    scale = loss_scale.get_loss_scale(0)
    assert scale.is_dynamic
    finite = tf.placeholder(tf.bool, [])
    update = scale.update(finite)
    session.run(tf.global_variables_initializer())
    if start is not None:
      session.run(tf.global_variables('loss_scale/value')[0].assign(start))
    values = []
    for verdict in verdicts:
      session.run(update, {finite: verdict})
      values.append(session.run(scale.value))
    return values


def test_a_fixed_scale_stays():
  with tf.Graph().as_default(), tf.Session() as session:
    scale = loss_scale.get_loss_scale(128.0)
    assert not scale.is_dynamic
    assert tf.global_variables() == []
    session.run(scale.update(tf.constant(False)))
    assert session.run(scale.value) == 128.0


def test_the_dynamic_scale_starts_at_two_to_the_fifteenth_and_halves_at_each_overflow():
  assert trace([True, False, False, True]) == [2.0 ** 15, 2.0 ** 14, 2.0 ** 13, 2.0 ** 13]


def test_it_doubles_after_2000_good_steps_in_a_row():
  assert loss_scale.GOOD_STEPS_TO_DOUBLE == 2000


def test_doubling_counts_anew_after_an_overflow_and_after_doubling(monkeypatch):
  monkeypatch.setattr(loss_scale, 'GOOD_STEPS_TO_DOUBLE', 3)
  verdicts = [True, True, False, True, True, True, True, True, True]
  assert trace(verdicts, start=8.0) == [8, 8, 4, 4, 4, 8, 8, 8, 16]


def test_the_scale_itself_never_overflows(monkeypatch):
  monkeypatch.setattr(loss_scale, 'GOOD_STEPS_TO_DOUBLE', 1)
  assert trace([True, True, True], start=2.0 ** 126) == [2.0 ** 127] * 3


@pytest.mark.parametrize('name', ['loss_scale/value', 'loss_scale/good_steps'])
def test_its_state_is_in_the_checkpoint_and_is_not_trained(name):
  with tf.Graph().as_default():
    loss_scale.get_loss_scale(0)
    assert name in [v.op.name for v in tf.global_variables()]
    assert tf.trainable_variables() == []
