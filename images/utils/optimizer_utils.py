"""The optimizers as a table: a name, its class, and which flags feed which argument."""
from images.utils import name_utils
from images.utils.tf1 import tf

# name -> (class, {argument of the class: flag}); flags.py lists the names as well.
OPTIMIZERS = {
    'adadelta': (tf.train.AdadeltaOptimizer,
                 {'rho': 'adadelta_rho', 'epsilon': 'opt_epsilon'}),
    'adagrad': (tf.train.AdagradOptimizer,
                {'initial_accumulator_value': 'adagrad_initial_accumulator_value'}),
    'adam': (tf.train.AdamOptimizer,
             {'beta1': 'adam_beta1', 'beta2': 'adam_beta2', 'epsilon': 'opt_epsilon'}),
    'ftrl': (tf.train.FtrlOptimizer,
             {'learning_rate_power': 'ftrl_learning_rate_power',
              'initial_accumulator_value': 'ftrl_initial_accumulator_value',
              'l1_regularization_strength': 'ftrl_l1',
              'l2_regularization_strength': 'ftrl_l2'}),
    'momentum': (tf.train.MomentumOptimizer, {'momentum': 'momentum'}),
    'rmsprop': (tf.train.RMSPropOptimizer,
                {'decay': 'rmsprop_decay', 'momentum': 'rmsprop_momentum',
                 'epsilon': 'opt_epsilon'}),
    'sgd': (tf.train.GradientDescentOptimizer, {}),
}


def get_optimizer(name, learning_rate, hyperparameters):
  """Return the tf.train.Optimizer `name`.

  Args:
    name: string, a key of OPTIMIZERS.
    learning_rate: float or scalar tensor.
    hyperparameters: dict from flag names, such as 'adam_beta1', to floats; entries of
      other optimizers are allowed and ignored.

  Raises:
    ValueError: unknown name; the message lists the known ones.
  """
  optimizer, arguments = name_utils.lookup(OPTIMIZERS, name, 'optimizer (--optimizer)')
  return optimizer(learning_rate, **{argument: hyperparameters[flag]
                                     for argument, flag in arguments.items()})
