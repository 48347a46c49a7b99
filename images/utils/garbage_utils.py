"""What lasts as long as the process is kept from Python's garbage collector."""
import contextlib
import gc


@contextlib.contextmanager
def without_collection():
  """Keep the collector from what is made in the context, meanwhile and ever after.

  Modules and graphs are many objects, which it would walk through again and again, and once
  more at the end of the process, and find no garbage.
  """
  was_enabled = gc.isenabled()
  gc.disable()
  try:
    yield
  finally:
    gc.freeze()
    if was_enabled:
      gc.enable()
