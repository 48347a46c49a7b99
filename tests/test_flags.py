import copy
import pathlib
import re
import subprocess
import sys

import pytest
from absl import flags as absl_flags

import flags

ROOT = pathlib.Path(flags.__file__).parent
DEFINES = r"(?:flags\.DEFINE|flag_utils\.define)_\w+\(\s*'(\w+)'"

# The published tables: group -> its flags in order, each with type and default.
PUBLISHED = {
    'Data set': [
        ('dataset_name', 'string', 'mock'),
        ('dataset_dir', 'string', None),
        ('num_sample_per_epoch', 'int', None),
        ('num_classes', 'int', 100),
        ('train_files', 'string', None),
    ],
    'Preprocessing': [
        ('preprocessing_name', 'string', None),
        ('shuffle_buffer_size', 'int', 1024),
        ('num_parallel_batches', 'int', 8),
        ('prefetch_buffer_size', 'int', 32),
        ('num_preprocessing_threads', 'int', 16),
        ('datasets_use_caching', 'bool', False),
    ],
    'Model': [
        ('task_type', 'string enum', 'pretrain'),
        ('model_name', 'string', 'inception_resnet_v2'),
        ('num_epochs', 'int', 100),
        ('weight_decay', 'float', 0.00004),
        ('max_gradient_norm', 'float', None),
        ('batch_size', 'int', 32),
        ('model_dir', 'string', None),
        ('ckpt_file_name', 'string', None),
    ],
    'Learning rate': [
        ('warmup_steps', 'int', 0),
        ('warmup_scheme', 'string enum', 't2t'),
        ('decay_scheme', 'string enum', None),
        ('learning_rate_decay_factor', 'float', 0.94),
        ('learning_rate_decay_type', 'string enum', 'exponential'),
        ('learning_rate', 'float', 0.01),
        ('end_learning_rate', 'float', 0.0001),
    ],
    'Optimizer': [
        ('optimizer', 'string enum', 'rmsprop'),
        ('adadelta_rho', 'float', 0.95),
        ('adagrad_initial_accumulator_value', 'float', 0.1),
        ('adam_beta1', 'float', 0.9),
        ('adam_beta2', 'float', 0.999),
        ('opt_epsilon', 'float', 1.0),
        ('ftrl_learning_rate_power', 'float', -0.5),
        ('ftrl_initial_accumulator_value', 'float', 0.1),
        ('ftrl_l1', 'float', 0.0),
        ('ftrl_l2', 'float', 0.0),
        ('momentum', 'float', 0.9),
        ('rmsprop_momentum', 'float', 0.9),
        ('rmsprop_decay', 'float', 0.9),
    ],
    'Logging': [
        ('stop_at_step', 'int', 100),
        ('log_loss_every_n_iters', 'int', 10),
        ('profile_every_n_iters', 'int', 0),
        ('profile_at_task', 'int', 0),
        ('log_device_placement', 'bool', False),
        ('print_model_statistics', 'bool', False),
        ('hooks', 'string', 'StopAtStepHook,ProfilerHook,LoggingTensorHook,CheckpointSaverHook'),
    ],
    'Performance': [
        ('use_fp16', 'bool', True),
        ('loss_scale', 'float', 1.0),
        ('enable_paisoar', 'bool', True),
        ('protocol', 'string enum', 'grpc'),
    ],
}

ADDED = [
    ('output_dir', 'string', None),
    ('save_checkpoint_every_n_iters', 'int', 1000),
    ('max_checkpoints_to_keep', 'int', 5),
    ('learning_rate_scaling', 'string enum', 'none'),
    ('accumulate_steps', 'int', 1),
    ('moving_average_decay', 'float', None),
    ('gradient_compression', 'string enum', 'none'),
    ('xla', 'bool', False),
    ('stall_limit_secs', 'int', 600),
    ('num_epochs_per_decay', 'float', 2.0),
    ('train_image_size', 'int', None),
    ('seed', 'int', 1),
    ('max_bad_fraction', 'float', 0.01),
    ('labels_offset', 'int', 0),
    ('half_dtype', 'string enum', 'auto'),
    ('eval_files', 'string', None),
    ('checkpoint_exclude_scopes', 'string', None),
    ('trainable_scopes', 'string', None),
    ('restore_moving_averages', 'bool', False),
    ('use_ema_weights', 'bool', False),
    ('predict_files', 'string', None),
]

TABLE = {**PUBLISHED, 'Beyond the groups above': ADDED}

ENUMS = {
    'task_type': ['pretrain', 'finetune', 'evaluate', 'predict', 'export'],
    'warmup_scheme': ['t2t'],
    'decay_scheme': ['luong234', 'luong5', 'luong10'],
    'learning_rate_decay_type': ['fixed', 'exponential', 'polynomial', 'cosine'],
    'optimizer': ['adadelta', 'adagrad', 'adam', 'ftrl', 'momentum', 'sgd', 'rmsprop'],
    'protocol': ['grpc', 'grpc+verbs'],
    'half_dtype': ['auto', 'float16', 'bfloat16'],
    'learning_rate_scaling': ['none', 'linear', 'sqrt'],
    'gradient_compression': ['none', 'fp16'],
}

DECAYS = ['adadelta_rho', 'adam_beta1', 'adam_beta2', 'momentum', 'rmsprop_momentum',
          'rmsprop_decay', 'moving_average_decay']

# The least value that is too large. Where a flag is not here, it has no upper bound.
TOO_LARGE = {
    **dict.fromkeys(['adadelta_rho', 'adam_beta1', 'adam_beta2', 'moving_average_decay'], '1'),
    **dict.fromkeys(['max_bad_fraction', 'momentum', 'rmsprop_momentum', 'rmsprop_decay'],
                    '1.000001'),
    'learning_rate_decay_factor': '1.000001',
    'ftrl_learning_rate_power': '1e-9',
    'num_preprocessing_threads': '1025',
    'seed': '2147483648',
}

# The largest value that is too small. Where a flag is not here, it has no lower bound.
TOO_SMALL = {
    **dict.fromkeys([
        'num_sample_per_epoch', 'num_classes', 'shuffle_buffer_size', 'num_parallel_batches',
        'prefetch_buffer_size', 'num_preprocessing_threads', 'num_epochs', 'batch_size',
        'stop_at_step', 'log_loss_every_n_iters', 'save_checkpoint_every_n_iters',
        'max_checkpoints_to_keep', 'train_image_size', 'num_epochs_per_decay', 'accumulate_steps',
        'stall_limit_secs'], '0'),
    **dict.fromkeys(['warmup_steps', 'profile_every_n_iters', 'profile_at_task', 'seed'], '-1'),
    **dict.fromkeys([
        'weight_decay', 'learning_rate_decay_factor', 'learning_rate', 'end_learning_rate',
        'loss_scale', 'max_bad_fraction', 'opt_epsilon', 'ftrl_initial_accumulator_value',
        'ftrl_l1', 'ftrl_l2', *DECAYS], '-1e-9'),
    'max_gradient_norm': '0',
    'adagrad_initial_accumulator_value': '0',
}


def defined():
  """Return the Flag objects of flags.py in the order of their definition."""
  names = re.findall(rf'^{DEFINES}', pathlib.Path(flags.__file__).read_text(), re.M)
  return [flags.flags.FLAGS[name] for name in names]


def parse(*arguments):
  """Return what flags.py makes of a command line, in FlagValues of its own."""
  values = absl_flags.FlagValues()
  for flag in defined():
    values[flag.name] = flag
  values = copy.deepcopy(values)
  absl_flags.DEFINE_string('flagfile', '', '', values)
  values(['train', *arguments])
  return values


def test_names_types_and_defaults_in_the_published_order():
  assert [(flag.name, flag.flag_type(), flag.default) for flag in defined()] == sum(
      TABLE.values(), [])


def test_the_groups_of_the_file():
  groups = re.split(r'^# ---- (.*) ----$', (ROOT / 'flags.py').read_text(), flags=re.M)[1:]
  found = {title: re.findall(rf'^{DEFINES}', text, re.M)
           for title, text in zip(groups[::2], groups[1::2])}
  assert list(found) == list(TABLE)
  assert found == {title: [name for name, _, _ in rows] for title, rows in TABLE.items()}


def test_enums_are_closed():
  assert {flag.name: flag.parser.enum_values for flag in defined()
          if flag.flag_type() == 'string enum'} == ENUMS


@pytest.mark.parametrize('name', ENUMS)
def test_a_value_outside_an_enum_is_an_error(name):
  with pytest.raises(absl_flags.IllegalFlagValueError, match=f"{name}=nonsense: unknown value: '"):
    parse(f'--{name}=nonsense')


def test_no_module_of_the_library_reads_flags():
  imports = re.compile(r'^ *(import flags\b|from flags import)', re.M)
  assert imports.search((ROOT / 'train_image_classifiers.py').read_text())
  readers = [path for path in (ROOT / 'images').rglob('*.py') if imports.search(path.read_text())]
  assert readers == []


def test_bounds():
  def bounded(bound):
    return {flag.name for flag in defined() if getattr(flag.parser, bound, None) is not None}
  assert bounded('lower_bound') == set(TOO_SMALL)
  assert bounded('upper_bound') | {'adadelta_rho', 'adam_beta1', 'adam_beta2',
                                   'moving_average_decay'} == set(TOO_LARGE)


@pytest.mark.parametrize(('name', 'value'), [*TOO_SMALL.items(), *TOO_LARGE.items()])
def test_a_value_out_of_bounds_is_an_error(name, value):
  with pytest.raises(absl_flags.IllegalFlagValueError, match=name):
    parse(f'--{name}={value}')


@pytest.mark.parametrize('name', [flag.name for flag in defined() if flag.flag_type() == 'float'])
def test_a_number_has_to_be_finite(name):
  with pytest.raises(absl_flags.IllegalFlagValueError, match=f'--{name}=nan: not a finite number'):
    parse(f'--{name}=nan')


def test_every_flag_has_a_help_text():
  assert [flag.name for flag in defined() if len(flag.help or '') < 10] == []


def test_a_flagfile(tmp_path):
  path = tmp_path / 'run.flags'
  path.write_text('# a comment\n--model_name=lenet\n--nouse_fp16\n\n--batch_size=7\n')
  values = parse(f'--flagfile={path}', '--batch_size=9')
  assert (values.model_name, values.use_fp16, values.batch_size) == ('lenet', False, 9)
  assert values.num_classes == 100


def test_helpfull_of_the_script_tells_of_every_flag():
  command = [sys.executable, str(ROOT / 'train_image_classifiers.py'), '--helpfull']
  shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120).stdout
  missing = [name for name, _, _ in sum(TABLE.values(), [])
             if not re.search(rf'^ *--(\[no\])?{name}: ', shown, re.M)]
  assert missing == []
