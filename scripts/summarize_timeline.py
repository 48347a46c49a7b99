"""Prints which kinds of operations take the time of a training step, from timelines of a run.

  TF_NUM_INTEROP_THREADS=1 python train_image_classifiers.py --dataset_name=mock \\
    --profile_every_n_iters=5 --stop_at_step=30 --output_dir=runs/profiled
  python scripts/summarize_timeline.py runs/profiled/timeline-*.json

Times are medians over the timelines. On a CPU, operations that run at the same time each count in
full; with TF_NUM_INTEROP_THREADS=1 they run one at a time.
"""
import collections
import json
import pathlib
import statistics

from absl import app, flags

FLAGS = flags.FLAGS


def milliseconds_of(path):
  """Return {device: {kind of operation: [milliseconds of each]}} for the step of a timeline.

  Raises:
    ValueError: the file is not a timeline, or has no operations.
  """
  try:
    operations = _operations_of(json.loads(pathlib.Path(path).read_text())['traceEvents'])
  except (KeyError, TypeError, ValueError):
    operations = []
  if not operations:
    raise ValueError(
        f'{path} is not a timeline of a step, such as --profile_every_n_iters writes')
  found = collections.defaultdict(lambda: collections.defaultdict(list))
  for device, kind, microseconds in operations:
    found[device][kind].append(microseconds / 1000)
  return found


def _operations_of(events):
  """Return a list of (device, kind of operation, microseconds)."""
  devices = {event['pid']: event['args']['name'] for event in events
             if event['ph'] == 'M' and event['name'] == 'process_name'}
  return [(devices[event['pid']], event['name'], event['dur']) for event in events
          if event['ph'] == 'X']


def table(device, steps, rows):
  """Return the lines of a table.

  Args:
    device: string.
    steps: list of {kind of operation: [milliseconds of each]}, one dict per timeline.
    rows: int, how many kinds have a row of their own.
  """
  kinds = {kind for step in steps for kind in step}
  times = {kind: statistics.median(sum(step.get(kind, [])) for step in steps) for kind in kinds}
  ordered = sorted(times, key=times.get, reverse=True)
  total = sum(times.values())

  def row(what, count, time):
    return f'| {what} | {count} | {time:.1f} | {time / total if total else 0:.1%} |'

  lines = [f'| {device} | operations | milliseconds | share |', '| --- | --- | --- | --- |']
  for kind in ordered[:rows]:
    count = statistics.median_high(len(step.get(kind, [])) for step in steps)
    lines.append(row(kind, count, times[kind]))
  rest = ordered[rows:]
  lines.append(row(f'{len(rest)} other kinds', '', sum(times[kind] for kind in rest)))
  return [*lines, row('all', '', total)]


def main(argv):
  """Print a table for each device."""
  if len(argv) == 1:
    raise app.UsageError('name the timelines: runs/<name>/timeline-*.json')
  try:
    timelines = [milliseconds_of(path) for path in argv[1:]]
  except (OSError, ValueError) as error:
    raise app.UsageError(str(error)) from error
  for device in sorted({device for timeline in timelines for device in timeline}):
    steps = [timeline[device] for timeline in timelines if device in timeline]
    print('\n'.join(table(device, steps, FLAGS.rows)), flush=True)


if __name__ == '__main__':
  flags.DEFINE_integer('rows', 12, 'Kinds of operations with a row of their own.', lower_bound=1)
  app.run(main)
