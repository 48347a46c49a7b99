"""Defines every flag of train_image_classifiers.py, once.

There are seven groups (data set, preprocessing, model, learning rate, optimizer, logging,
performance), and after them later additions: the run directory, distribution, evaluation and
finetuning.
Only train_image_classifiers.py reads the values.
"""
from absl import flags

from images.utils import flag_utils

TASK_TYPES = ['pretrain', 'finetune', 'evaluate', 'predict', 'export']
OPTIMIZERS = ['adadelta', 'adagrad', 'adam', 'ftrl', 'momentum', 'sgd', 'rmsprop']

# ---- Data set ----

flags.DEFINE_string(
    'dataset_name', 'mock',
    'Name of the data set, a key of datasets_map in images/datasets/dataset_factory.py: '
    'mock (random images, no files), mnist, cifar10, flowers, digits, image_folder.')
flag_utils.define_path(
    'dataset_dir', None,
    'Directory of the TFRecord files, any path that tf.io.gfile opens.')
flags.DEFINE_integer(
    'num_sample_per_epoch', None,
    'Number of images in an epoch; by default the number of records in the training '
    'files (1,281,167 for mock).', lower_bound=1)
flags.DEFINE_integer(
    'num_classes', 100,
    'Number of classes; labels lie in [0, num_classes).', lower_bound=1)
flags.DEFINE_string(
    'train_files', None,
    'Comma-separated names or glob patterns of the training files under dataset_dir, '
    "such as '0.tfrecord,1.tfrecord'; by default the data set's own list.")

# ---- Preprocessing ----

flags.DEFINE_string(
    'preprocessing_name', None,
    'Name of the preprocessing, a key of preprocessing_fn_map in '
    "images/preprocessing/preprocessing_factory.py; by default the network's own. lenet and "
    'cifarnet crop or pad images to the size and do not resize them.')
flags.DEFINE_integer(
    'shuffle_buffer_size', 1024,
    'Number of records from which the next one is drawn; 1 keeps the order in the files.',
    lower_bound=1)
flags.DEFINE_integer(
    'num_parallel_batches', 8,
    'Number of batches of records that are read ahead and prepared at the same time; no more are '
    'prepared at a time than there are num_preprocessing_threads.',
    lower_bound=1)
flags.DEFINE_integer(
    'prefetch_buffer_size', 32,
    'Number of batches that are prepared ahead of the training step; one of 64 images of 224 '
    'pixels takes 39 MB in each rank.', lower_bound=1)
flags.DEFINE_integer(
    'num_preprocessing_threads', 16,
    'Number of threads that prepare images, in a pool of their own.', lower_bound=1,
    upper_bound=1024)
flags.DEFINE_bool(
    'datasets_use_caching', False,
    'Keep the encoded records in memory after the first epoch. Each rank then reads the same '
    'share of the records in every epoch.')

# ---- Model ----

flag_utils.define_enum(
    'task_type', 'pretrain', TASK_TYPES,
    'What to do: train from random weights, train from the weights of a checkpoint, '
    'measure accuracy, classify image files, or write a SavedModel.')
flags.DEFINE_string(
    'model_name', 'inception_resnet_v2',
    'Name of the network, a key of models_map in images/models/model_factory.py.')
flags.DEFINE_integer(
    'num_epochs', 100,
    'Training ends after this many epochs or at stop_at_step, whichever is first.',
    lower_bound=1)
flag_utils.define_float(
    'weight_decay', 0.00004,
    "Factor of the networks' L2 regularization loss.", lower_bound=0)
flag_utils.define_float(
    'max_gradient_norm', None,
    'Clip the gradients to this global norm; by default there is no clipping.',
    lower_bound=1e-9)
flags.DEFINE_integer(
    'batch_size', 32,
    'Number of images in a step of one rank.', lower_bound=1)
flag_utils.define_path(
    'model_dir', None,
    'Directory of the checkpoint that finetune starts from, or that evaluate, predict '
    'and export use.')
flags.DEFINE_string(
    'ckpt_file_name', None,
    'Name of the checkpoint in model_dir, such as resnet_v1_50.ckpt or model.ckpt-1234.')

# ---- Learning rate ----

flags.DEFINE_integer(
    'warmup_steps', 0,
    'Number of steps over which the learning rate rises to its full value.', lower_bound=0)
flag_utils.define_enum(
    'warmup_scheme', 't2t', ['t2t'],
    't2t (Tensor2Tensor), the only one: start at 1/100 of the learning rate, rise exponentially.')
flag_utils.define_enum(
    'decay_scheme', None, ['luong234', 'luong5', 'luong10'],
    'When the learning rate begins to decay: luong234 after 2/3 of all steps, luong5 and luong10 '
    'after 1/2. An exponential decay then halves it 4, 5 or 10 times, whatever '
    'learning_rate_decay_factor is; polynomial and cosine decays begin there. By default it decays '
    'from the start.')
flag_utils.define_float(
    'learning_rate_decay_factor', 0.94,
    'Factor of each exponential decay.', lower_bound=0, upper_bound=1)
flag_utils.define_enum(
    'learning_rate_decay_type', 'exponential',
    ['fixed', 'exponential', 'polynomial', 'cosine'],
    'How the learning rate decays: not at all, by learning_rate_decay_factor at '
    'intervals, linearly, or along a half cosine to end_learning_rate at the last step.')
flag_utils.define_float(
    'learning_rate', 0.01,
    'Learning rate before warm-up and decay.', lower_bound=0)
flag_utils.define_float(
    'end_learning_rate', 0.0001,
    'Floor of every decay; a learning_rate that is lower never decays.', lower_bound=0)

# ---- Optimizer ----

flag_utils.define_enum('optimizer', 'rmsprop', OPTIMIZERS, 'Name of the optimizer.')
flag_utils.define_float(
    'adadelta_rho', 0.95, 'Adadelta: decay rate.', lower_bound=0, below=1)
flag_utils.define_float(
    'adagrad_initial_accumulator_value', 0.1, 'AdaGrad: start value of the accumulators.',
    lower_bound=1e-9)
flag_utils.define_float(
    'adam_beta1', 0.9, 'Adam: decay rate of the first moment.', lower_bound=0, below=1)
flag_utils.define_float(
    'adam_beta2', 0.999, 'Adam: decay rate of the second moment.', lower_bound=0, below=1)
flag_utils.define_float(
    'opt_epsilon', 1.0,
    "Epsilon of Adam, RMSProp and Adadelta. 1.0 is TF-Slim's default; Adam learns little with it: "
    'the Adam paper uses 1e-8.', lower_bound=0)
flag_utils.define_float(
    'ftrl_learning_rate_power', -0.5, 'FTRL: power of the learning rate.', upper_bound=0)
flag_utils.define_float(
    'ftrl_initial_accumulator_value', 0.1, 'FTRL: start value of the accumulators.', lower_bound=0)
flag_utils.define_float(
    'ftrl_l1', 0.0, 'FTRL: strength of the L1 regularization.', lower_bound=0)
flag_utils.define_float(
    'ftrl_l2', 0.0, 'FTRL: strength of the L2 regularization.', lower_bound=0)
flag_utils.define_float(
    'momentum', 0.9, 'Momentum: the momentum.', lower_bound=0, upper_bound=1)
flag_utils.define_float(
    'rmsprop_momentum', 0.9, 'RMSProp: the momentum.', lower_bound=0, upper_bound=1)
flag_utils.define_float(
    'rmsprop_decay', 0.9, 'RMSProp: decay rate of the mean square.', lower_bound=0, upper_bound=1)

# ---- Logging ----

flags.DEFINE_integer(
    'stop_at_step', 100,
    'Training ends at this global step or after num_epochs, whichever is first.',
    lower_bound=1)
flags.DEFINE_integer(
    'log_loss_every_n_iters', 10,
    'Number of steps between two lines of the log.', lower_bound=1)
flags.DEFINE_integer(
    'profile_every_n_iters', 0,
    'Number of steps between two timelines; 0: no timelines.', lower_bound=0)
flags.DEFINE_integer(
    'profile_at_task', 0,
    'Rank that writes the timelines; 0 is the chief.', lower_bound=0)
flags.DEFINE_bool(
    'log_device_placement', False, 'Log on which device each operation runs.')
flags.DEFINE_bool(
    'print_model_statistics', False,
    'Print name, shape and size of every trainable variable.')
flags.DEFINE_string(
    'hooks', 'StopAtStepHook,ProfilerHook,LoggingTensorHook,CheckpointSaverHook',
    'Comma-separated names of the training hooks, keys of HOOKS in '
    'images/utils/hooks_utils.py.')

# ---- Performance ----

flags.DEFINE_bool(
    'use_fp16', True,
    'Compute in half precision with float32 variables, loss and checkpoints.')
flag_utils.define_float(
    'loss_scale', 1.0,
    'Factor of the loss while gradients are computed, so that small gradients survive float16; 0 '
    'finds and adapts it during training.',
    lower_bound=0)
flags.DEFINE_bool(
    'enable_paisoar', True,
    'Train data-parallel through Horovod, which also works with a single process; False needs no '
    'Horovod.')
flag_utils.define_enum(
    'protocol', 'grpc', ['grpc', 'grpc+verbs'],
    'Accepted for existing command lines, without effect: Horovod brings its own transport, which '
    'the log names at startup.')

# ---- Beyond the groups above ----

flag_utils.define_path(
    'output_dir', None,
    'Directory of checkpoints, event files, timelines and the record of the run. A run '
    'that finds a checkpoint there resumes from it. By default a new directory '
    'runs/<date>-<time>-<model>-<dataset>.')
flags.DEFINE_integer(
    'save_checkpoint_every_n_iters', 1000,
    'Number of steps between two checkpoints; the last step is always saved.', lower_bound=1)
flags.DEFINE_integer(
    'max_checkpoints_to_keep', 5, 'Number of newest checkpoints that are kept.', lower_bound=1)
flag_utils.define_enum(
    'learning_rate_scaling', 'none', ['none', 'linear', 'sqrt'],
    'Multiply learning_rate by the number of ranks or its square root, since the global '
    'batch grows with it; warm-up and decay then refer to that rate.')
flags.DEFINE_integer(
    'accumulate_steps', 1,
    'Batches of a rank whose mean gradient makes one step: a step then takes '
    'accumulate_steps x batch_size x ranks images in the memory of batch_size.', lower_bound=1)
flag_utils.define_float(
    'moving_average_decay', None,
    'Decay of exponential moving averages of the weights, such as 0.9999, kept from the first step '
    'of a run on and saved with the weights; see use_ema_weights. By default there are none.',
    lower_bound=0, below=1)
flag_utils.define_enum(
    'gradient_compression', 'none', ['none', 'fp16'],
    'fp16: exchange gradients between ranks in float16, half of the bytes; use it with '
    'loss_scale=0, as small gradients are lost in float16.')
flags.DEFINE_bool(
    'xla', False, 'Let XLA compile clusters of operations; measure first whether it helps: on a '
    'CPU it makes convolutions slower.')
flags.DEFINE_integer(
    'stall_limit_secs', 600,
    'Seconds without progress after which the run ends with an error, for example when a rank '
    'hangs; a machine that is out of reach is detected in less than a minute.', lower_bound=1)
flag_utils.define_float(
    'num_epochs_per_decay', 2.0,
    'Number of epochs between two exponential decays of the learning rate.',
    lower_bound=1e-6)
flags.DEFINE_integer(
    'train_image_size', None,
    "Height and width of the network's input in pixels; by default the network's own.",
    lower_bound=1)
flags.DEFINE_integer(
    'seed', 1, 'Seed of the weights, of the order and distortions of the images, and of dropout.',
    lower_bound=0, upper_bound=2 ** 31 - 1)
flag_utils.define_float(
    'max_bad_fraction', 0.01,
    'Fraction of the images of an epoch that may be undecodable before the run ends; '
    'such images are skipped and counted.', lower_bound=0, upper_bound=1)
flags.DEFINE_integer(
    'labels_offset', 0,
    'Subtracted from the labels of the data. -1 fits labels that start at 0 to a published '
    'network of 1001 classes, whose class 0 is background; 1 fits labels that start at 1 to '
    'one of 1000.')
flag_utils.define_enum(
    'half_dtype', 'auto', ['auto', 'float16', 'bfloat16'],
    'Half precision of use_fp16. auto: float16 on a GPU; on a CPU bfloat16 if it is faster there, '
    'else float32.')
flags.DEFINE_string(
    'eval_files', None,
    'Comma-separated names or glob patterns of the evaluation files under dataset_dir; '
    "by default the data set's own list.")
flags.DEFINE_string(
    'checkpoint_exclude_scopes', None,
    'finetune: comma-separated scopes of variables that are not loaded.')
flags.DEFINE_string(
    'trainable_scopes', None,
    'Comma-separated scopes of the variables that are trained; by default all.')
flags.DEFINE_bool(
    'restore_moving_averages', False,
    "finetune: load batch normalization's moving averages too.")
flags.DEFINE_bool(
    'use_ema_weights', False,
    'Load the exponential moving averages of the variables, which some checkpoints hold as well: '
    'those published for mobilenet_v2 and v3, and those of runs with moving_average_decay.')
flag_utils.define_path(
    'predict_files', None,
    'predict: comma-separated names or glob patterns of image files.')
