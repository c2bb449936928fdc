// Run as a process of its own: leaves a stream in the way that the first argument names. The process must then end by itself.
import { LanguageModel } from '../../dist/index.js';

const [how, file = ''] = process.argv.slice(2);
const model = await LanguageModel.load(file);
const stream = () =>
  model.generate('hello', { temperature: 1, seed: 1, ignoreEndOfText: true, maxTokens: 1900 });

switch (how) {
  case 'finished':
    for await (const _ of model.generate('hello', { maxTokens: 20, ignoreEndOfText: true }));
    model.dispose();
    break;
  case 'break':
    for await (const _ of stream()) break;
    break;
  case 'abandoned':
    await stream().next();
    break;
  case 'unread':
    stream();
    break;
  case 'aborted':
    await model
      .generateText('hello', { signal: AbortSignal.timeout(20), ignoreEndOfText: true, maxTokens: 1900 })
      .catch(() => {});
    break;
  case 'chat':
    await model.chat().send('hello').next();
    break;
  case 'disposed': {
    const left = stream();
    await left.next();
    model.dispose();
    break;
  }
  case 'never-disposed':
    break;
  case 'process.exit':
    await stream().next();
    process.exit(7);
    break;
  case 'throw':
    await stream().next();
    throw new Error('on purpose');
  default:
    throw new Error(`no way called ${how}`);
}
console.log('last line');
