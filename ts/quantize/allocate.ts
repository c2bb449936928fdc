import { callNative } from '../formats.ts';
import { native } from '../native/load.ts';
import { openOptions, optionError } from '../options.ts';

/** One way to quantize a layer. */
export interface BitChoice {
  /** The width of its weights. */
  bits: number;
  /** By how much the loss rises: `(Tr(H) / n) ‖W − Q(W)‖²` in HAWQ-V3. */
  perturbation: number;
  /** What it costs of each budget, by the budget's name. */
  costs: Readonly<Record<string, number>>;
}

/** Options of {@link allocateBits}. */
export interface AllocateBitsOptions {
  /** The most that all layers together may cost, by name: bytes, bit operations, milliseconds, or whatever the costs count. */
  budgets: Readonly<Record<string, number>>;
  /** Sets of layers, by index, that must have equal widths: convolutions whose results are added. */
  ties?: readonly (readonly number[])[];
}

/** What {@link allocateBits} finds. */
export interface BitAllocation {
  /** The width of each layer. */
  bits: readonly number[];
  /** The sum of the perturbations. */
  perturbation: number;
  /** What it takes of each budget. */
  costs: Readonly<Record<string, number>>;
}

/**
 * Chooses a width for each layer so that the perturbations add up to as little as the budgets allow: the integer program of HAWQ-V3 (Yao et al. 2021),
 * solved exactly.
 *
 * @throws DyadicError `ERR_ALLOCATION_INFEASIBLE` where no choice keeps the budgets, `ERR_ALLOCATION_INPUT`, `ERR_ALLOCATION_TOO_LARGE`, `ERR_OPTION`.
 * @example
 * ```ts
 * const layer = (perturbation: number, bytes: number) => [
 *   { bits: 4, perturbation, costs: { bytes: bytes / 2 } },
 *   { bits: 8, perturbation: perturbation / 256, costs: { bytes } },
 * ];
 * const { bits } = allocateBits([layer(3, 1000), layer(1, 1000)], { budgets: { bytes: 1500 } }); // [8, 4]
 * ```
 */
export function allocateBits(
  layers: readonly (readonly BitChoice[])[],
  options: AllocateBitsOptions,
): BitAllocation {
  const raw = openOptions(options, 'allocateBits', ['budgets', 'ties']);
  if (!Array.isArray(layers)) throw optionError('layers', 'an array of arrays of choices', layers);
  const budgets = Object.entries(openOptions(raw.budgets, 'budgets', Object.keys(Object(raw.budgets))));
  const names = budgets.map(([name]) => name);
  const limits = budgets.map(([name, limit]) => finite(`budgets.${name}`, limit));
  const choices = layers.map((layer: unknown, index) => {
    if (!Array.isArray(layer)) throw optionError(`layers[${index}]`, 'an array of choices', layer);
    return layer.map((choice: unknown) => {
      const name = `a choice of layers[${index}]`;
      const read = openOptions(choice, name, ['bits', 'perturbation', 'costs']);
      const costs = openOptions(read.costs, `the costs of ${name}`, names);
      const { bits } = read;
      if (typeof bits !== 'number' || !Number.isInteger(bits) || bits < 1 || bits > 64)
        throw optionError(`bits of ${name}`, 'an integer from 1 to 64', bits);
      return {
        bits,
        perturbation: finite(`perturbation of ${name}`, read.perturbation),
        costs: names.map((budget) => finite(`costs.${budget} of ${name}`, costs[budget])),
      };
    });
  });
  const ties = (options.ties ?? []).map((tie) => {
    if (
      !Array.isArray(tie) ||
      !tie.every((layer) => Number.isInteger(layer) && layer >= 0 && layer < 2 ** 31)
    )
      throw optionError('ties', 'arrays of indices of layers', tie);
    return [...tie];
  });
  const found = callNative(() => native().allocateBits(choices, limits, ties));
  const costs = Object.fromEntries(names.map((name, index) => [name, found.costs[index] ?? 0]));
  return { bits: found.bits, perturbation: found.perturbation, costs };
}

function finite(name: string, value: unknown): number {
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw optionError(name, 'a finite number', value);
}
