/** Powers of two beyond 9 bits as such (`2^-14`), others with at most seven digits. */
export function showNumber(value: number): string {
  const sign = value < 0 ? '-' : '';
  const magnitude = Math.abs(value);
  const exponent = Math.log2(magnitude);
  if (Number.isInteger(exponent) && Math.abs(exponent) > 9) return `${sign}2^${exponent}`;
  if (Number.isInteger(value) && magnitude < 1e10) return String(value);
  if (magnitude !== 0 && (magnitude >= 1e10 || magnitude < 1e-5)) return value.toExponential(3);
  return String(Number(value.toPrecision(7)));
}

/** `±448`, or `-8 … 7`. */
export function showRange([low, high]: readonly [number, number]): string {
  return low === -high ? `±${showNumber(high)}` : `${showNumber(low)} … ${showNumber(high)}`;
}

/** At most `width` characters. */
export function cut(text: string, width: number): string {
  return text.length > width ? `${text.slice(0, Math.max(0, width - 1))}…` : text;
}
