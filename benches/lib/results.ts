import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { codeOf } from '../../ts/errors.ts';
import { doctor } from '../../ts/index.ts';
import { commit, load, type Machine, machine, type Run, root } from './machine.ts';

/** One line of a benchmark's table: what was measured, and figures with their unit in the name. */
export type Row = Readonly<Record<string, unknown>>;

export interface ResultsFile {
  machine: Machine;
  benches: Record<string, Run & { rows: Row[] }>;
}

/** `benches/results/<cpu>.json`: one file for each kind of CPU. */
function fileOf({ cpu }: Machine): string {
  const slug = cpu
    .toLowerCase()
    .replace(/\((r|tm)\)/g, '')
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');
  return path.join(root, 'benches/results', `${slug}.json`);
}

function read(file: string): ResultsFile | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Runs a benchmark, prints its rows with all that they depend on, and puts them into the results of this CPU. */
export async function record(name: string, measure: () => Promise<Row[]>): Promise<void> {
  const here = machine();
  const { isa } = doctor();
  const before = load();
  console.log(`\n== ${name}: ${here.cpu}, ${here.cores} cores, ${isa}, Node ${here.node}, ${commit()}`);
  const rows = await measure();
  const run: Run = { date: new Date().toISOString(), commit: commit(), isa, load: { before, after: load() } };
  for (const row of rows) print(row);
  console.log(`load ${run.load.before} before, ${run.load.after} after`);
  const file = fileOf(here);
  const benches = { ...read(file)?.benches, [name]: { ...run, rows } };
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify({ machine: here, benches } satisfies ResultsFile, null, 2)}\n`);
}

/** One line for each figure, those of a summary side by side. */
function print(row: Row): void {
  const width = Math.max(...Object.keys(row).map((key) => key.length));
  for (const [key, value] of Object.entries(row)) {
    const text =
      value !== null && typeof value === 'object'
        ? Object.entries(value)
            .map(([inner, item]) => `${inner} ${item}`)
            .join('   ')
        : String(value);
    console.log(`  ${key.padEnd(width)}  ${text}`);
  }
  console.log();
}
