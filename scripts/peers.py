"""Trains resnet_v1_50 with another library on one batch of random images, and prints its speed.

  python scripts/peers.py --peer=keras --batch_size=16

`benchmark.py --peers` runs this next to the training script, with the same network, batch size,
image size, precision, optimizer and cores. A peer is 'keras', 'torch' or 'product', the limit set
by a large matrix product. It prints a line '12.3 images/s' for each interval after the first, which
is warm-up; 'product' prints one for each step.
"""
import os
import time

from absl import app, flags


class Clock:
  """Prints the speed of every `steps` steps."""

  def __init__(self, batch_size, steps):
    self._images, self._steps = batch_size * steps, steps
    self._count, self._started = 0, None

  def tick(self):
    """Note that a step has ended."""
    self._count += 1
    if self._count % self._steps == 0:
      now = time.time()
      if self._started is not None:
        print(f'{self._images / (now - self._started):.2f} images/s', flush=True)
      self._started = now


# The blocks of the peers' network, as in images/models/resnet_v1.py: width, number of units, and
# stride of the 3x3 convolution in the last unit.
_BLOCKS = ((64, 3, 2), (128, 4, 2), (256, 6, 2), (512, 3, 1))
_CLASSES = 1000
_WEIGHT_DECAY = 0.00004  # The default of the training script.


def set_up_tensorflow():
  """Let TensorFlow, which is loaded next, use oneDNN on every CPU, as the project does."""
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
  os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')


def keras(clock, *, batch_size, size, half, total_steps):
  """Train with tf_keras `fit`, in mixed_bfloat16 for half precision."""
  set_up_tensorflow()
  import numpy as np
  import tensorflow as tf
  import tf_keras
  if half:
    tf_keras.mixed_precision.set_global_policy('mixed_bfloat16')
  model = keras_resnet_50(tf_keras, size)
  model.compile(tf_keras.optimizers.SGD(0.001, momentum=0.9),
                tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True))
  random = np.random.default_rng(1)
  images = random.uniform(-1, 1, [batch_size, size, size, 3]).astype(np.float32)
  labels = random.integers(0, _CLASSES, [batch_size])
  dataset = tf.data.Dataset.from_tensors((images, labels)).cache().repeat()
  tick = tf_keras.callbacks.LambdaCallback(on_train_batch_end=lambda *_: clock.tick())
  model.fit(dataset, steps_per_epoch=total_steps, verbose=0, callbacks=[tick])


def keras_resnet_50(tf_keras, size):
  """Return ResNet-50 for images of `size` pixels as a model of `tf_keras`, the module."""
  layers = tf_keras.layers
  decay = tf_keras.regularizers.L2(_WEIGHT_DECAY / 2)

  def convolution(net, filters, kernel, stride=1, *, relu=True):
    net = layers.Conv2D(filters, kernel, stride, padding='same', use_bias=False,
                        kernel_regularizer=decay)(net)
    net = layers.BatchNormalization()(net)
    return layers.ReLU()(net) if relu else net

  def unit(net, width, stride):
    shortcut = layers.MaxPooling2D(1, stride)(net) if stride > 1 else net
    if net.shape[-1] != 4 * width:
      shortcut = convolution(net, 4 * width, 1, stride, relu=False)
    net = convolution(convolution(net, width, 1), width, 3, stride)
    return layers.ReLU()(convolution(net, 4 * width, 1, relu=False) + shortcut)

  images = tf_keras.Input([size, size, 3])
  net = layers.MaxPooling2D(3, 2, padding='same')(convolution(images, 64, 7, 2))
  for width, units, stride in _BLOCKS:
    for number in range(units):
      net = unit(net, width, stride if number == units - 1 else 1)
  net = layers.GlobalAveragePooling2D()(net)
  return tf_keras.Model(images, layers.Dense(_CLASSES, kernel_regularizer=decay)(net))


def torch(clock, *, batch_size, size, half, total_steps):
  """Train with PyTorch, channels last, with bfloat16 autocast for half precision."""
  import torch as pt
  pt.manual_seed(1)
  model = torch_resnet_50(pt.nn).to(memory_format=pt.channels_last)
  optimizer = pt.optim.SGD(model.parameters(), 0.001, momentum=0.9, weight_decay=_WEIGHT_DECAY)
  images = (pt.rand(batch_size, 3, size, size) * 2 - 1).to(memory_format=pt.channels_last)
  labels = pt.randint(0, _CLASSES, [batch_size])
  for _ in range(total_steps):
    with pt.autocast('cpu', pt.bfloat16, enabled=half):
      loss = pt.nn.functional.cross_entropy(model(images).float(), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    clock.tick()


def torch_resnet_50(nn):
  """Return ResNet-50 as a module of `nn`, which is torch.nn."""
  def convolution(channels, filters, kernel, stride=1):
    return nn.Sequential(nn.Conv2d(channels, filters, kernel, stride, kernel // 2, bias=False),
                         nn.BatchNorm2d(filters))

  class Unit(nn.Module):
    """A bottleneck with its shortcut."""

    def __init__(self, channels, width, stride):
      super().__init__()
      self.residual = nn.Sequential(
          convolution(channels, width, 1), nn.ReLU(), convolution(width, width, 3, stride),
          nn.ReLU(), convolution(width, 4 * width, 1))
      subsample = nn.MaxPool2d(1, stride) if stride > 1 else nn.Identity()
      same = channels == 4 * width
      self.shortcut = subsample if same else convolution(channels, 4 * width, 1, stride)

    def forward(self, x):
      return nn.functional.relu(self.residual(x) + self.shortcut(x))

  layers, channels = [convolution(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)], 64
  for width, units, stride in _BLOCKS:
    for unit in range(units):
      layers.append(Unit(channels, width, stride if unit == units - 1 else 1))
      channels = 4 * width
  return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                       nn.Linear(channels, _CLASSES))


# Multiplications and additions to train resnet_v1_50 on one 224-pixel image: 3.48e9 of each for the
# outputs of the layers, and as many for each of their two gradients.
_RESNET_50_OPERATIONS = 2 * 3 * 3.48e9


def product(clock, *, batch_size, size, half, total_steps):
  """Print the images/s that the rate of a large matrix product would allow; nothing is trained."""
  del clock
  set_up_tensorflow()
  import tensorflow as tf
  a = tf.cast(tf.random.uniform([4096, 4096]), tf.bfloat16 if half else tf.float32)
  multiply = tf.function(lambda: tf.reduce_sum(tf.matmul(a, a)))
  multiply()
  for _ in range(total_steps):
    started = time.time()
    multiply().numpy()
    rate = 2 * 4096 ** 3 / (time.time() - started)
    print(f'{rate / _RESNET_50_OPERATIONS / (size / 224) ** 2:.2f} images/s', flush=True)


PEERS = {'keras': keras, 'torch': torch, 'product': product}


def main(argv):
  """Train and print."""
  if len(argv) > 1:
    raise app.UsageError(f'unexpected arguments {argv[1:]}')
  values = flags.FLAGS
  PEERS[values.peer](Clock(values.batch_size, values.steps), batch_size=values.batch_size,
                     size=values.size, half=values.half,
                     total_steps=values.steps * (values.intervals + 1))


def define_flags():
  """Define the flags of this script."""
  flags.DEFINE_enum('peer', 'keras', list(PEERS), 'Library to train with.')
  flags.DEFINE_integer('batch_size', 8, 'Images in a step.', lower_bound=1)
  flags.DEFINE_integer('size', 224, 'Height and width of the images in pixels.', lower_bound=32)
  flags.DEFINE_bool('half', False, 'Compute in bfloat16 over float32 variables.')
  flags.DEFINE_integer('steps', 4, 'Steps in an interval.', lower_bound=1)
  flags.DEFINE_integer('intervals', 5, 'Intervals to measure.', lower_bound=1)


if __name__ == '__main__':
  define_flags()
  app.run(main)
