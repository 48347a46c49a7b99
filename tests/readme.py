"""Reads README.md: its code blocks, and what its flag tables have to be."""
import pathlib
import re

from absl import flags

import flags as _flags  # noqa: F401 - defines the flags

ROOT = pathlib.Path(__file__).resolve().parent.parent
FENCE = '```'


def text():
  """Return README.md as a string."""
  return (ROOT / 'README.md').read_text()


def blocks(language):
  """Return the fenced blocks of a language, in order."""
  return re.findall(rf'^{FENCE}{language}\n(.*?)^{FENCE}$', text(), re.MULTILINE | re.DOTALL)


def block_named(name):
  """Return the one python block whose first line is the comment `# name`."""
  found = [block for block in blocks('python') if block.startswith(f'# {name}\n')]
  assert len(found) == 1, f'{len(found)} blocks of README.md start with # {name}'
  return found[0]


def flag_rows():
  """Return the rows of the flag tables, one for each flag, in the order of flags.py."""
  source = (ROOT / 'flags.py').read_text()
  names = re.findall(r"^flags\.DEFINE_\w+\(\s*'(\w+)'", source, re.MULTILINE)
  return {name: _row(flags.FLAGS[name]) for name in names}


def _row(flag):
  kind = {'string': 'string', 'int': 'integer', 'float': 'float', 'bool': 'bool',
          'string enum': 'enum'}[flag.flag_type()]
  default = '' if flag.default is None else f'`{flag.default}`'
  values = getattr(flag.parser, 'enum_values', None)
  choices = ' One of ' + ', '.join(f'`{value}`' for value in values) + '.' if values else ''
  return f'| `{flag.name}` | {kind} | {default} | {flag.help}{choices} |'
