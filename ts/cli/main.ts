#!/usr/bin/env node
import { codeOf } from '../errors.ts';
import { Interrupts } from './interrupts.ts';
import { main } from './program.ts';

// A reader that has seen enough, such as `head`, is no error.
process.stdout.on('error', (error) => {
  if (codeOf(error) !== 'EPIPE') throw error;
  process.exit(0);
});

process.exitCode = await main(process.argv.slice(2), new Interrupts());
