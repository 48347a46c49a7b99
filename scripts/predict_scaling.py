"""Predicts how efficiently many GPUs train, from the step time of one and the all-reduce's cost.

  python scripts/predict_scaling.py --parameters=25.6e6 --batch_size=64 --images_per_second=219

A ring all-reduce of B bytes over N ranks takes 2 (N - 1) / N * B / bandwidth seconds, plus
2 (N - 1) times the latency of a message (Patarasuk and Yuan, Bandwidth optimal all-reduce
algorithms, 2009). It can overlap with the backward pass, about two thirds of a step. The
prediction is a range, from no overlap to the largest possible. It does not account for
stragglers, other traffic on the network or the input pipeline.
"""
from absl import app, flags

BACKWARD_SHARE = 2 / 3


def efficiency(ranks, *, step_secs, gradient_bytes, bandwidth, latency):
  """Return the (lowest, highest) speed as a fraction of `ranks` times that of one rank.

  Args:
    ranks: int.
    step_secs: float, seconds of a step of one rank.
    gradient_bytes: float, bytes of all gradients.
    bandwidth: float, bytes/s of the slowest link of the ring, in one direction.
    latency: float, seconds of a message.
  """
  exchange = 2 * (ranks - 1) * (gradient_bytes / ranks / bandwidth + latency)
  shown = max(0.0, exchange - BACKWARD_SHARE * step_secs)
  return step_secs / (step_secs + exchange), step_secs / (step_secs + shown)


def main(argv):
  """Print a line for each number of ranks."""
  if len(argv) > 1:
    raise app.UsageError(f'unexpected arguments {argv[1:]}')
  values = flags.FLAGS
  gradient_bytes = values.parameters * values.bytes_per_parameter
  step_secs = values.batch_size / values.images_per_second
  print(f'step {1000 * step_secs:.0f} ms, gradients {gradient_bytes / 1e6:.0f} MB, '
        f'{values.gbit_per_second:g} Gbit/s')
  for ranks in map(int, values.ranks):
    low, high = efficiency(ranks, step_secs=step_secs, gradient_bytes=gradient_bytes,
                           bandwidth=values.gbit_per_second * 1e9 / 8,
                           latency=values.latency_microseconds * 1e-6)
    print(f'{ranks:5d} ranks: {100 * low:.0f} to {100 * high:.0f} %, predicted')


def define_flags():
  """Define the flags of this script."""
  flags.DEFINE_float('images_per_second', None, 'Speed of one GPU, as measured.', lower_bound=1e-9,
                     required=True)
  flags.DEFINE_float('parameters', None, 'Trained parameters of the network.', lower_bound=1,
                     required=True)
  flags.DEFINE_integer('batch_size', 64, 'Images in a step of one GPU.', lower_bound=1)
  flags.DEFINE_float('bytes_per_parameter', 4, '4, or 2 with --gradient_compression=fp16.',
                     lower_bound=1e-9)
  flags.DEFINE_float('gbit_per_second', 25, 'Bandwidth of a machine, which its GPUs share: one '
                     'link of the ring leaves it.', lower_bound=1e-9)
  flags.DEFINE_float('latency_microseconds', 20, 'Of a message between two GPUs.', lower_bound=0)
  flags.DEFINE_list('ranks', ['8', '16', '32', '64', '128', '256', '512'], 'Numbers of GPUs.')
  flags.register_validator('ranks', lambda ranks: all(
      n.isdecimal() and int(n) > 0 for n in ranks), 'has to be numbers from 1 on')


if __name__ == '__main__':
  define_flags()
  app.run(main)
