"""Warm-up and decay of the learning rate: pure functions of the step."""
import math

from images.utils.tf1 import tf

# When a scheme starts to decay, as numerator and denominator of a fraction of all steps, and its
# number of halvings.
DECAY_SCHEMES = {
    'luong234': (2, 3, 4),
    'luong5': (1, 2, 5),
    'luong10': (1, 2, 10),
}

# Factor of the learning rate for a number of ranks: the linear rule is that of Goyal et al.,
# Accurate, Large Minibatch SGD (2017), the square root that of Krizhevsky, One weird trick
# (2014).
SCALINGS = {
    'none': lambda ranks: 1.0,
    'linear': float,
    'sqrt': math.sqrt,
}


def get_learning_rate(step, *, learning_rate, total_steps, decay_steps, learning_rate_decay_type,
                      learning_rate_decay_factor, end_learning_rate, decay_scheme=None,
                      warmup_steps=0, ahead=0):
  """Return the learning rate of a step, a scalar float32 tensor.

  Args:
    step: scalar integer tensor, the number of steps already made.
    learning_rate: float, the rate before warm-up and decay.
    total_steps: int, the number of steps of the whole run.
    decay_steps: float, steps from one exponential decay to the next, without a scheme.
    learning_rate_decay_type: 'fixed', 'exponential', 'polynomial' (linear) or 'cosine'.
    learning_rate_decay_factor: float, factor of an exponential decay, without a scheme.
    end_learning_rate: float, the floor of every decay; a `learning_rate` below it does not decay.
    decay_scheme: None or a key of DECAY_SCHEMES, when to decay.
    warmup_steps: int, steps over which the rate is multiplied by Tensor2Tensor's
      0.01**((warmup_steps - step) / warmup_steps), whatever the decay; it may go below the floor.
    ahead: float, by how many steps the epochs of a resumed run are ahead of `step`; added to it to
      count exponential decays without a scheme.
  """
  step = tf.cast(step, tf.float32)
  floor = min(end_learning_rate, learning_rate)
  start = warmup_steps
  if decay_scheme:
    numerator, denominator, halvings = DECAY_SCHEMES[decay_scheme]
    start = total_steps * numerator // denominator
  if learning_rate_decay_type == 'exponential':
    if decay_scheme:
      factor = _halvings(step, start, total_steps, halvings)
    else:
      # In float64 and with a margin, so that rounding misses no epoch that ends with a step.
      decays = tf.floor((tf.cast(step, tf.float64) + ahead) / decay_steps + 1e-9)
      factor = learning_rate_decay_factor ** tf.cast(decays, tf.float32)
    rate = learning_rate * factor
  else:
    progress = tf.clip_by_value((step - start) / max(1, total_steps - start), 0.0, 1.0)
    rate = floor + (learning_rate - floor) * _REMAINING[learning_rate_decay_type](progress)
  return tf.maximum(rate, floor) * _warmup(step, warmup_steps)


# The fraction of the way from learning_rate to the floor that remains at a progress in [0, 1].
_REMAINING = {
    'fixed': tf.ones_like,
    'polynomial': lambda progress: 1.0 - progress,
    'cosine': lambda progress: 0.5 * (1.0 + tf.cos(math.pi * progress)),
}


def _halvings(step, start, total_steps, halvings):
  """Return 1/2 to the power of the number of halvings made.

  The first comes at `start`, and the others follow at equal intervals before `total_steps`.
  """
  milestones = [float(start + k * (total_steps - start) // halvings) for k in range(halvings)]
  made = tf.reduce_sum(tf.cast(step >= tf.constant(milestones), tf.float32))
  return 0.5 ** made


def _warmup(step, warmup_steps):
  """Return the t2t factor: 0.01 at step 0, rising exponentially to 1 at `warmup_steps`."""
  remaining = tf.maximum(0.0, warmup_steps - step) / max(1, warmup_steps)
  return tf.pow(0.01, remaining)
