"""What is made in the context is left alone; the collector is as it was."""
import gc

import pytest

from images.utils import garbage_utils


@pytest.fixture(autouse=True)
def _collector():
  yield
  gc.enable()


@pytest.mark.parametrize('enabled', [True, False])
def test_what_lasts_is_left_alone_by_the_garbage_collector(enabled):
  (gc.enable if enabled else gc.disable)()
  before = gc.get_freeze_count()
  with garbage_utils.without_collection():
    assert not gc.isenabled()
    made = [[] for _ in range(100)]
  assert gc.isenabled() == enabled
  assert gc.get_freeze_count() >= before + len(made)


def test_an_error_does_not_leave_the_collector_off():
  with pytest.raises(OSError, match='no route'), garbage_utils.without_collection():
    raise OSError('no route to host')
  assert gc.isenabled()
