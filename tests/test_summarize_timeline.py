"""A timeline's table, of numbers made up and of a step that TensorFlow has traced."""
import json
import re
import subprocess
import sys

import pytest

from images.utils import profile_utils
from images.utils.tf1 import tf
from tests import launch


def summarize(*words):
  return subprocess.run(
      [sys.executable, str(launch.ROOT / 'scripts' / 'summarize_timeline.py'), *map(str, words)],
      capture_output=True, text=True, timeout=60, check=False)


def write(path, *operations):
  """Write a timeline of (kind, microseconds); return its path."""
  events = [{'ph': 'M', 'name': 'process_name', 'pid': 1, 'args': {'name': 'CPU:0'}},
            {'ph': 's', 'name': 'sum', 'pid': 1}]
  events += [{'ph': 'X', 'name': kind, 'pid': 1, 'dur': duration}
             for kind, duration in operations]
  path.write_text(json.dumps({'traceEvents': events}))
  return path


def test_medians_over_the_timelines(tmp_path):
  timelines = [write(tmp_path / '1', ('Conv2D', 6000), ('Conv2D', 9000), ('Relu', 4000)),
               write(tmp_path / '2', ('Conv2D', 8000), ('Conv2D', 8000), ('Cast', 500)),
               write(tmp_path / '3', ('Conv2D', 5000), ('Conv2D', 5000), ('Relu', 1000),
                     ('Cast', 3000))]
  done = summarize('--rows=1', *timelines)
  assert done.stdout.splitlines() == [
      '| CPU:0 | operations | milliseconds | share |', '| --- | --- | --- | --- |',
      '| Conv2D | 2 | 15.0 | 90.9% |', '| 2 other kinds |  | 1.5 | 9.1% |',
      '| all |  | 16.5 | 100.0% |']


def test_the_higher_of_two_counts(tmp_path):
  timelines = [write(tmp_path / '1', ('Relu', 1000), ('Relu', 1000)),
               write(tmp_path / '2', ('Relu', 1000))]
  assert summarize(*timelines).stdout.splitlines()[2] == '| Relu | 2 | 1.5 | 100.0% |'


def test_operations_too_short_to_be_measured(tmp_path):
  done = summarize(write(tmp_path / '1', ('Const', 0)))
  assert done.stdout.splitlines()[2:] == [
      '| Const | 1 | 0.0 | 0.0% |', '| 0 other kinds |  | 0.0 | 0.0% |', '| all |  | 0.0 | 0.0% |']


def test_a_step_that_tensorflow_has_traced(tmp_path):
  with tf.Graph().as_default():
    numbers = tf.random_uniform([64, 64])
    product = tf.matmul(numbers, tf.matmul(numbers, numbers))
    step = tf.assign_add(tf.train.get_or_create_global_step(), 1)
    hook = profile_utils.ProfilerHook({'step': step}, str(tmp_path), 2, events=False)
    with tf.train.MonitoredSession(hooks=[hook]) as session:
      for _ in range(3):
        session.run(product)
  done = summarize(*tmp_path.glob('timeline-*.json'))
  [row] = [line for line in done.stdout.splitlines() if 'MatMul' in line]
  assert row.split(' | ')[1] == '2'


@pytest.mark.parametrize(('content', 'message'), [
    ('{', 'bad is not a timeline of a step'), ('[]', 'bad is not a timeline'),
    ('{}', 'bad is not a timeline'), ('{"traceEvents": [{}]}', 'bad is not a timeline'),
    ('{"traceEvents": []}', 'bad is not a timeline'),
    (None, "No such file or directory: '.*bad'")])
def test_what_is_no_timeline(tmp_path, content, message):
  if content is not None:
    (tmp_path / 'bad').write_text(content)
  done = summarize(tmp_path / 'bad')
  assert done.returncode == 1
  assert done.stdout == ''
  assert re.search(message, done.stderr)


def test_no_timeline_at_all():
  done = summarize()
  assert done.returncode == 1
  assert 'name the timelines: runs/' in done.stderr
