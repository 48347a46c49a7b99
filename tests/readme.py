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


def flag_names():
  """Return the names of the flags in the order of flags.py."""
  return [name for _, name in _headings_and_flags() if name]


def flag_tables():
  """Return the section of the flags as README.md has to have it."""
  lines = []
  for heading, name in _headings_and_flags():
    if heading:
      lines += ['', f'### {heading}', '', '| flag | type | default | meaning |',
                '| --- | --- | --- | --- |']
    else:
      lines.append(_row(flags.FLAGS[name]))
  return '\n'.join(lines) + '\n'


def _headings_and_flags():
  """Return (heading, '') and ('', flag name) pairs in the order of flags.py."""
  return re.findall(
      r"^# ---- (.*) ----$|^(?:flags\.DEFINE|flag_utils\.define)_\w+\(\s*'(\w+)'",
      (ROOT / 'flags.py').read_text(), re.MULTILINE)


def _row(flag):
  kind = {'string': 'string', 'int': 'integer', 'float': 'float', 'bool': 'bool',
          'string enum': 'enum'}[flag.flag_type()]
  default = '' if flag.default is None else f'`{flag.default}`'
  values = getattr(flag.parser, 'enum_values', [])
  meaning = flag.help.removeprefix(f'<{"|".join(values)}>: ')  # How absl begins the help of enums.
  meaning = re.sub(r'[\\|<*]', r'\\\g<0>', meaning)  # What would make a cell, a tag or an emphasis.
  choices = ' One of ' + ', '.join(f'`{value}`' for value in values) + '.' if values else ''
  return f'| `{flag.name}` | {kind} | {default} | {meaning}{choices} |'


if __name__ == '__main__':
  print(flag_tables(), end='')  # To be pasted into README.md.
