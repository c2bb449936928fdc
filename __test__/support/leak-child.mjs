// Run as a process of its own with --expose-gc: prints how many MiB it grew by while it did things many times over.
import { setTimeout as delay } from 'node:timers/promises';
import { LanguageModel } from '../../dist/index.js';
import { growth } from './growth.mjs';

const [file = ''] = process.argv.slice(2);
const model = await LanguageModel.load(file);
const options = { temperature: 1, ignoreEndOfText: true };

const result = {
  finished: await growth(500, async () => {
    await model.generateText('hello', { ...options, maxTokens: 5 });
  }),
  broken: await growth(500, async () => {
    for await (const _ of model.generate('hello the '.repeat(20), { ...options, maxTokens: 500 })) break;
  }),
  abandoned: await growth(500, async () => {
    await model.generate('hello', { ...options, maxTokens: 500 }).next();
    await delay(1);
  }),
  chats: await growth(200, async () => {
    const chat = model.chat({ system: 'x'.repeat(100) });
    await chat.send('hello', { ...options, maxTokens: 3 }).result();
    chat.dispose();
  }),
  loads: await growth(100, async () => {
    (await LanguageModel.load(file)).dispose();
  }),
};
model.dispose();
console.log(JSON.stringify(result));
