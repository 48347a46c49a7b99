"""Results of benchmark.py as a table and as a plot."""
import statistics


def summarize(results):
  """Return the results of benchmark.measure() as a Markdown table, a string."""
  lines = ['| network | precision | ranks | images/s | lowest to highest | efficiency | '
           'of float32 |', '| --- | --- | --- | --- | --- | --- | --- |']
  for r in results:
    times = '' if r['of_float32'] is None else f'{r["of_float32"]:.2f} times'
    lines.append(f'| {r["model"]} | {r["precision"]} | {r["ranks"]} | '
                 f'{in_words(r["images_per_second"])} | {efficiency_of(r)} | {times} |')
  return '\n'.join(lines)


def in_words(speeds):
  """Return the median, and the lowest and highest, of images/s as two cells of a table."""
  return f'{statistics.median(speeds):.1f} | {min(speeds):.1f} to {max(speeds):.1f}'


def efficiency_of(result):
  """Return the efficiency as text; '' for one rank, or if it is unknown."""
  known = result['efficiency'] is not None and result['ranks'] > 1
  return f'{100 * result["efficiency"]:.0f} %' if known else ''


def label(result):
  """Return the label in the plot of a result of benchmark.measure()."""
  words = [result['model'], result['precision'], str(result['ranks']), efficiency_of(result)]
  return ', '.join(word for word in words if word)


def plot(results, path):
  """Write a PNG bar chart of the images/s of results of benchmark.measure(), with their spread."""
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
