/** Smallest, middle and largest of some figures. */
export interface Summary {
  min: number;
  median: number;
  max: number;
}

const round = (value: number) => Number(value.toPrecision(4));

/** The summary of at least one figure, to four digits. */
export function summarize(values: readonly number[]): Summary {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (index: number) => sorted[index] ?? Number.NaN;
  const middle = (sorted.length - 1) / 2;
  return {
    min: round(at(0)),
    median: round((at(Math.floor(middle)) + at(Math.ceil(middle))) / 2),
    max: round(at(sorted.length - 1)),
  };
}
