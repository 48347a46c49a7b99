"""Keeps objects that live as long as the process away from Python's garbage collector."""
import contextlib
import gc


@contextlib.contextmanager
def without_collection():
  """Collect no garbage in the context, and for good exclude all objects that exist at its end.

  Modules and graphs are many objects, which the collector would walk through again and again,
  also at the exit of the process, without finding any garbage.
  """
  was_enabled = gc.isenabled()
  gc.disable()
  try:
    yield
  finally:
    gc.freeze()
    if was_enabled:
      gc.enable()
