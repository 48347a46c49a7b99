"""Provides the factor of the loss in half precision, fixed or adapted during training.

Small gradients underflow in float16, so they are computed for a multiple of the loss and then
divided by that factor (Micikevicius et al., Mixed Precision Training, 2018). TensorFlow's
DynamicLossScale would check all gradients in another pass; here their norm tells whether they are
finite.
"""
from images.utils.tf1 import tf

INITIAL_SCALE = 2.0 ** 15
GOOD_STEPS_TO_DOUBLE = 2000


class FixedLossScale:
  """A loss scale that does not change."""

  is_dynamic = False

  def __init__(self, value):
    self.value = tf.constant(value, tf.float32)

  def update(self, finite):
    """Return an operation that does nothing."""
    del finite
    return tf.no_op()


class DynamicLossScale:
  """A loss scale that is halved at an overflow and doubled after 2,000 good steps.

  Its two variables, `loss_scale/value` and `loss_scale/good_steps`, are part of the
  checkpoint.
  """

  is_dynamic = True

  def __init__(self):
    with tf.variable_scope('loss_scale'):
      self._value = tf.get_variable('value', initializer=INITIAL_SCALE, trainable=False)
      self._good_steps = tf.get_variable('good_steps', initializer=0, trainable=False)
    self.value = self._value.read_value()

  def update(self, finite):
    """Return an operation that adapts the scale, given the step's verdict, a bool scalar."""
    good_steps = tf.where(finite, self._good_steps + 1, 0)
    double = good_steps >= GOOD_STEPS_TO_DOUBLE
    grown = tf.where(double, self.value * 2.0, self.value)
    # At most 2**127: the scale itself must stay finite if nothing ever overflows.
    grown = tf.where(tf.is_finite(grown), grown, self.value)
    scale = tf.where(finite, grown, self.value * 0.5)
    return tf.group(self._value.assign(scale),
                    self._good_steps.assign(tf.where(double, 0, good_steps)))


def get_loss_scale(loss_scale):
  """Return the loss scale for the flag's value, where 0 means dynamic."""
  return FixedLossScale(loss_scale) if loss_scale else DynamicLossScale()
