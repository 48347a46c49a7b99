"""What the benchmark says of its results."""
import importlib

import pytest

from tests import launch


@pytest.fixture
def report(monkeypatch):
  monkeypatch.syspath_prepend(str(launch.ROOT / 'scripts'))
  return importlib.import_module('report')


def test_the_plot_says_what_is_measured_and_its_efficiency(report):
  result = {'model': 'lenet', 'precision': 'half', 'ranks': 2, 'efficiency': 0.904}
  assert report.label(result) == 'lenet, half, 2, 90 %'
  assert report.label({**result, 'ranks': 1, 'efficiency': 1.0}) == 'lenet, half, 1'
  assert report.label({**result, 'efficiency': None}) == 'lenet, half, 2'


def test_the_plot_has_a_bar_for_each_result(report, tmp_path):
  image = pytest.importorskip('matplotlib.image', reason='no matplotlib: the extra benchmark')
  heights = []
  for count in (1, 5):
    results = [{'model': f'network {n}', 'precision': 'half', 'ranks': 1, 'efficiency': 1.0,
                'images_per_second': [1.0, 2.0, 4.0]} for n in range(count)]
    report.plot(results, tmp_path / 'plot.png')
    pixels = image.imread(tmp_path / 'plot.png')
    blue = (pixels[:, :, 2] > pixels[:, :, 0] + 0.2).any(axis=1)
    heights.append(int((blue[1:] & ~blue[:-1]).sum()))
  assert heights == [1, 5]
