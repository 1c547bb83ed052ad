/** The middle value; of an even number of values the mean of the two in the middle. */
export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * One line of the result, from the values of all runs; `theirs` is the peer's.
 *
 * @param target `{ratio: 'at least' | 'at most', of: number}` judges ours ÷ theirs; `{value: …, of: …}` ours alone
 */
export function row(what, unit, ours, theirs, target) {
  const our = median(ours);
  const their = median(theirs);
  const ratio = our / their;
  return { what, unit, our, their, ratio, target, met: target && isMet(target, our, ratio) };
}

function isMet(target, our, ratio) {
  const judged = 'ratio' in target ? ratio : our;
  return (target.ratio ?? target.value) === 'at least' ? judged >= target.of : judged <= target.of;
}

/** Renders rows as a table with aligned columns. */
export function render(rows) {
  const cells = [
    ['measurement (medians)', 'coffer', 'peer', 'ratio', 'target', ''],
    ...rows.map(({ what, unit, our, their, ratio, target, met }) => [
      what,
      `${number(our)} ${unit}`,
      `${number(their)} ${unit}`,
      number(ratio),
      target === undefined ? '' : describe(target, unit),
      met === undefined ? '' : met ? 'met' : 'MISSED',
    ]),
  ];
  const widths = cells[0].map((_, column) => Math.max(...cells.map((line) => line[column].length)));
  return cells
    .map((line) =>
      line.map((cell, column) =>
        column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]),
      ),
    )
    .map((line) => line.join('  ').trimEnd())
    .join('\n');
}

function describe(target, unit) {
  const bound = `${(target.ratio ?? target.value) === 'at least' ? '≥' : '≤'} ${target.of}`;
  return 'ratio' in target ? `ratio ${bound}` : `${bound} ${unit}`;
}

const number = (value) => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));
