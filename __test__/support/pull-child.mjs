// Run as a process of its own: pulls the registry entry that is its argument and prints the path.

// Imported by address, since the published types leave internal functions out.
const { pullPackaged } = await import(new URL('../../dist/models/packaged.js', import.meta.url).href);

/** @type {Set<string>} */
const stages = new Set();
/** @param {{ stage: string }} progress */
const onProgress = ({ stage }) => stages.add(stage);
const file = await pullPackaged(JSON.parse(process.argv[2] ?? ''), { onProgress });
console.log(JSON.stringify({ file, stages: [...stages] }));
