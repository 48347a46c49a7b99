"""Results of benchmark.py as a table and as a plot."""
import statistics


def summarize(results):
  """Return a table of results of measure(), a string."""
  lines = ['| network | precision | ranks | images/s | lowest to highest | efficiency | '
           'of float32 |', '| --- | --- | --- | --- | --- | --- | --- |']
  for r in results:
    times = '' if r['of_float32'] is None else f'{r["of_float32"]:.2f} times'
    lines.append(f'| {r["model"]} | {r["precision"]} | {r["ranks"]} | '
                 f'{in_words(r["images_per_second"])} | {efficiency_of(r)} | {times} |')
  return '\n'.join(lines)


def in_words(speeds):
  """Return the median, and lowest and highest, of images/s as two cells of a table."""
  return f'{statistics.median(speeds):.1f} | {min(speeds):.1f} to {max(speeds):.1f}'


def efficiency_of(result):
  """Return the efficiency of several ranks in words; '' for one rank, or without one."""
  known = result['efficiency'] is not None and result['ranks'] > 1
  return f'{100 * result["efficiency"]:.0f} %' if known else ''


def label(result):
  """Return what the plot calls a result of measure()."""
  words = [result['model'], result['precision'], str(result['ranks']), efficiency_of(result)]
  return ', '.join(word for word in words if word)


def plot(results, path):
  """Write a bar chart of images/s, with the spread, as a PNG; of results of measure()."""
  import matplotlib
  matplotlib.use('Agg')
  from matplotlib import pyplot
  figure, axes = pyplot.subplots(figsize=(8, 1.5 + 0.4 * len(results)))
  medians = [statistics.median(r['images_per_second']) for r in results]
  spread = [[m - min(r['images_per_second']) for m, r in zip(medians, results)],
            [max(r['images_per_second']) - m for m, r in zip(medians, results)]]
  axes.barh([label(r) for r in results], medians, xerr=spread)
  axes.invert_yaxis()
  axes.set_xlabel('images/s over all ranks (network, precision, ranks, efficiency)')
  figure.tight_layout()
  figure.savefig(path, dpi=100)
