import { bringUpToDate } from '../../scripts/lib/build.mjs';

/** Tests that start processes run what was built: once before all tests it is brought up to date. */
export async function setup(): Promise<void> {
  if (!(await bringUpToDate({ quiet: true }))) throw new Error('the build failed');
}
