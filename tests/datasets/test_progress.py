from images.datasets import progress


def test_the_last_count_is_always_printed(capsys):
  counter = progress.Progress('Working', 20000, unit=' images')
  for done in range(20000):
    counter.show(done)
  counter.finish(20000)
  assert capsys.readouterr().err == 'Working: 20,000 of 20,000 images\n'


def test_reports_come_at_intervals(capsys, monkeypatch):
  now = 0.0
  monkeypatch.setattr(progress.time, 'monotonic', lambda: now)
  counter = progress.Progress('Working', None)
  for done in range(60):
    now = done / 2
    counter.show(done)
  assert capsys.readouterr().err == 'Working: 20\nWorking: 40\n'
