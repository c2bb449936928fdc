import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import fc from 'fast-check';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { download } from '../../ts/models/download.ts';
import { proxyFor } from '../../ts/models/http.ts';
import { parseHuggingFace } from '../../ts/models/hugging-face.ts';
import { listModels, pullModel, resolveModel } from '../../ts/models/resolve.ts';
import { noise, sha256Of } from '../support/bytes.ts';
import { sendFile, serve } from '../support/server.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const body = noise(300_000);
const SPEC = 'hf:owner/repo/model.gguf';
let cache: string;

beforeEach(() => {
  cache = temporaryDirectory();
  vi.unstubAllEnvs();
  for (const name of ['http_proxy', 'https_proxy', 'all_proxy', 'no_proxy']) {
    vi.stubEnv(name, '');
    vi.stubEnv(name.toUpperCase(), '');
  }
  vi.stubEnv('DYADIC_CACHE', cache);
  vi.stubEnv('HF_TOKEN', '');
});

describe('the name', () => {
  test('is owner, repository, revision and file', () => {
    expect(parseHuggingFace('hf:a/b/c.gguf')).toEqual({
      owner: 'a',
      repository: 'b',
      revision: 'main',
      file: 'c.gguf',
    });
    expect(parseHuggingFace('hf:a/b@v1.0/x/c.gguf')).toEqual({
      owner: 'a',
      repository: 'b',
      revision: 'v1.0',
      file: 'x/c.gguf',
    });
  });

  test.each([
    'hf:',
    'hf:a',
    'hf:a/b',
    'hf:a/b/',
    'hf:a/b/c.txt',
    'hf:a/b/../c.gguf',
    'hf:../b/c.gguf',
    'hf:a//c.gguf',
    'hf:a/b@x@y/c.gguf',
    'hf:a/b/c?.gguf',
    'hf:a\\b/c/d.gguf',
  ])('%s is refused', (spec) =>
    expect(() => parseHuggingFace(spec)).toThrow(expect.objectContaining({ code: 'ERR_MODEL_SPEC' })),
  );

  test('never leads out of the cache', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          const { owner, repository, revision, file } = parseHuggingFace(`hf:${text}.gguf`);
          expect(path.posix.normalize(`/${owner}/${repository}/${revision}/${file}`)).toBe(
            `/${owner}/${repository}/${revision}/${file}`,
          );
        } catch (error) {
          expect(error).toMatchObject({ code: 'ERR_MODEL_SPEC' });
        }
      }),
    );
  });
});

test('follows redirects, checks the linked SHA-256, sends the token to the first host only', async () => {
  const store = await serve(sendFile(body, 'tag-of-the-store'));
  const hub = await serve((request, response) => {
    response
      .writeHead(302, {
        location: request.url === '/moved' ? `${store.origin}/blob` : '/moved',
        'x-linked-etag': `"${sha256Of(body)}"`,
      })
      .end();
  });
  vi.stubEnv('HF_ENDPOINT', hub.origin);
  vi.stubEnv('HF_TOKEN', 'secret');
  const stages = new Set<string>();
  const file = await pullModel(SPEC, { onProgress: ({ stage }) => stages.add(stage) });
  expect(readFileSync(file).equals(body)).toBe(true);
  expect(path.relative(cache, file)).toBe(path.join('models', 'hf', 'owner', 'repo', 'main', 'model.gguf'));
  expect(hub.requests.map(({ url }) => url)).toEqual(['/owner/repo/resolve/main/model.gguf', '/moved']);
  expect(hub.requests.map(({ headers }) => headers.authorization)).toEqual([
    'Bearer secret',
    'Bearer secret',
  ]);
  expect(store.requests.map(({ headers }) => headers.authorization)).toEqual([undefined]);
  expect([...stages]).toEqual(['download', 'verify']);
  expect(await resolveModel(SPEC)).toBe(file);
  expect(store.requests).toHaveLength(1);
  expect((await listModels()).at(-1)).toEqual({ name: SPEC, path: file, bytes: body.length, cached: true });
});

test('a token does not come back with a redirect that leads home', async () => {
  const home = await serve((request, response) => {
    if (request.url === '/end') response.writeHead(200, { 'content-length': body.length }).end(body);
    else response.writeHead(302, { location: `${away.origin}/` }).end();
  });
  const away = await serve((_request, response) =>
    response.writeHead(307, { location: `${home.origin}/end` }).end(),
  );
  await download(new URL(`${home.origin}/start`), path.join(cache, 'file'), { token: 'secret' });
  expect(home.requests.map(({ headers }) => headers.authorization)).toEqual(['Bearer secret', undefined]);
});

test('retries and resumes where the connection broke', async () => {
  let left = 3;
  const store = await serve(sendFile(body, 'v1', () => (left-- > 0 ? 70_000 : Number.POSITIVE_INFINITY)));
  const target = path.join(cache, 'file.gguf');
  await download(new URL(store.origin), target, { firstBackoffMs: 1 });
  expect(readFileSync(target).equals(body)).toBe(true);
  expect(store.requests.map(({ headers }) => headers.range)).toEqual([
    undefined,
    'bytes=70000-',
    'bytes=140000-',
    'bytes=210000-',
  ]);
  expect(existsSync(`${target}.partial`)).toBe(false);
});

test('a later call resumes what an aborted one left', async () => {
  const controller = new AbortController();
  const store = await serve(
    sendFile(body, 'v1', () => (store.requests.length === 1 ? 100_000 : Number.POSITIVE_INFINITY)),
  );
  vi.stubEnv('HF_ENDPOINT', store.origin);
  const reason = new Error('enough');
  const pull = pullModel(SPEC, {
    signal: controller.signal,
    onProgress: ({ bytes = 0 }) => bytes > 0 && controller.abort(reason),
  });
  await expect(pull).rejects.toMatchObject({ code: 'ERR_ABORTED', name: 'AbortError', cause: reason });
  const file = await pullModel(SPEC);
  expect(readFileSync(file).equals(body)).toBe(true);
  expect(store.requests[1]?.headers.range).toMatch(/^bytes=[1-9]\d*-$/);
});

test('starts anew when the file has changed on the server', async () => {
  const target = path.join(cache, 'file.gguf');
  writeFileSync(`${target}.partial`, noise(1000, 7));
  writeFileSync(`${target}.partial.json`, JSON.stringify({ bytes: body.length, etag: 'v0', sha256: null }));
  const store = await serve(sendFile(body, 'v1'));
  await download(new URL(store.origin), target, { firstBackoffMs: 1 });
  expect(readFileSync(target).equals(body)).toBe(true);
  expect(store.requests.map(({ headers }) => headers.range)).toEqual(['bytes=1000-', undefined]);
});

test('a whole partial file is confirmed by one byte', async () => {
  const target = path.join(cache, 'file.gguf');
  writeFileSync(`${target}.partial`, body);
  writeFileSync(`${target}.partial.json`, JSON.stringify({ bytes: body.length, etag: 'v1', sha256: null }));
  const store = await serve(sendFile(body, 'v1'));
  await download(new URL(store.origin), target, { firstBackoffMs: 1 });
  expect(readFileSync(target).equals(body)).toBe(true);
  expect(store.requests.map(({ headers }) => headers.range)).toEqual([`bytes=${body.length - 1}-`]);
});

test('a server that ignores ranges and always breaks is given up', async () => {
  const store = await serve((_request, response) => {
    response.writeHead(200, { 'content-length': body.length });
    response.write(body.subarray(0, 1000), () => response.destroy());
  });
  const failed = download(new URL(store.origin), path.join(cache, 'file'), { firstBackoffMs: 1 });
  await expect(failed).rejects.toMatchObject({
    code: 'ERR_DOWNLOAD',
    message: expect.stringContaining('attempts'),
  });
  expect(store.requests.length).toBeGreaterThanOrEqual(5);
});

test('bytes that do not have the promised SHA-256 are deleted', async () => {
  const store = await serve(sendFile(body, 'x'));
  const hub = await serve((_request, response) =>
    response.writeHead(302, { location: store.origin, 'x-linked-etag': `"${'0'.repeat(64)}"` }).end(),
  );
  const target = path.join(cache, 'file');
  await expect(download(new URL(hub.origin), target, {})).rejects.toMatchObject({ code: 'ERR_CHECKSUM' });
  expect([existsSync(target), existsSync(`${target}.partial`)]).toEqual([false, false]);
});

test('a cached file that was damaged is fetched anew by pull', async () => {
  const store = await serve(sendFile(body, 'x'));
  const hub = await serve((_request, response) =>
    response.writeHead(302, { location: store.origin, 'x-linked-etag': `"${sha256Of(body)}"` }).end(),
  );
  vi.stubEnv('HF_ENDPOINT', hub.origin);
  const file = await pullModel(SPEC);
  writeFileSync(file, noise(body.length, 9));
  await pullModel(SPEC);
  expect(readFileSync(file).equals(body)).toBe(true);
});

test('a split file is pulled whole', async () => {
  const store = await serve((request, response) =>
    sendFile(Buffer.from(request.url ?? ''), 'x')(request, response),
  );
  vi.stubEnv('HF_ENDPOINT', store.origin);
  const fractions: number[] = [];
  const first = await pullModel('hf:o/r/big-00002-of-00003.gguf', {
    onProgress: ({ fraction }) => fractions.push(fraction),
  });
  expect(path.basename(first)).toBe('big-00001-of-00003.gguf');
  expect(store.requests.map(({ url }) => url?.slice(-20))).toEqual(
    [1, 2, 3].map((i) => `ig-0000${i}-of-00003.gguf`.slice(-20)),
  );
  expect(fractions.at(-1)).toBe(1);
  expect(fractions).toEqual(fractions.toSorted((a, b) => a - b));
});

test.each([
  [401, 'HF_TOKEN'],
  [404, 'no such repository'],
])('status %i is final and says what to do', async (status, hint) => {
  const hub = await serve((_request, response) => response.writeHead(status).end());
  vi.stubEnv('HF_ENDPOINT', hub.origin);
  await expect(pullModel(SPEC)).rejects.toMatchObject({
    code: 'ERR_HTTP_STATUS',
    message: expect.stringContaining(hint),
  });
  expect(hub.requests).toHaveLength(1);
});

test('status 503 is retried, as Retry-After asks', async () => {
  const store = await serve((request, response) => {
    if (store.requests.length === 1) response.writeHead(503, { 'retry-after': '1' }).end();
    else sendFile(body, 'x')(request, response);
  });
  const start = performance.now();
  await download(new URL(store.origin), path.join(cache, 'file'), { firstBackoffMs: 1 });
  expect(performance.now() - start).toBeGreaterThan(950);
});

test('a silent server is a time-out, an absent one is ERR_OFFLINE', async () => {
  const silent = await serve(() => {});
  const options = { firstBackoffMs: 1, idleTimeoutMs: 30 };
  await expect(download(new URL(silent.origin), path.join(cache, 'a'), options)).rejects.toMatchObject({
    code: 'ERR_DOWNLOAD',
    message: expect.stringContaining('silent for 30 ms'),
  });
  expect(silent.requests).toHaveLength(5);
  const gone = new URL('http://127.0.0.1:1/');
  await expect(download(gone, path.join(cache, 'b'), options)).rejects.toMatchObject({ code: 'ERR_OFFLINE' });
});

test('an endless redirect is an error', async () => {
  const loop = await serve((_request, response) => response.writeHead(302, { location: '/' }).end());
  await expect(download(new URL(loop.origin), path.join(cache, 'a'), {})).rejects.toMatchObject({
    code: 'ERR_DOWNLOAD',
  });
});

describe('proxies', () => {
  test('are found in the environment', () => {
    const https = new URL('https://a.example.org/x');
    const http = new URL('http://a.example.org:8080/x');
    expect(proxyFor(https, {})).toBeUndefined();
    expect(proxyFor(https, { HTTPS_PROXY: 'http://p:1' })?.href).toBe('http://p:1/');
    expect(proxyFor(https, { https_proxy: 'p:1' })?.href).toBe('http://p:1/');
    expect(proxyFor(http, { https_proxy: 'http://p:1' })).toBeUndefined();
    expect(proxyFor(http, { ALL_PROXY: 'http://p:1' })?.href).toBe('http://p:1/');
    for (const no of [
      '*',
      'example.org',
      '.example.org',
      '*.example.org',
      'x, a.example.org',
      'a.example.org:8080',
    ]) {
      expect(proxyFor(http, { http_proxy: 'http://p:1', no_proxy: no }), no).toBeUndefined();
    }
    for (const no of ['', 'ample.org', 'b.example.org', 'a.example.org:80']) {
      expect(proxyFor(http, { http_proxy: 'http://p:1', no_proxy: no }), no).toBeDefined();
    }
    expect(() => proxyFor(http, { http_proxy: 'socks5://p:1' })).toThrow(
      expect.objectContaining({ code: 'ERR_DOWNLOAD' }),
    );
  });

  test('http goes through one with its credentials', async () => {
    const proxy = await serve(sendFile(body, 'x'));
    vi.stubEnv('http_proxy', proxy.origin.replace('://', '://user:p%40ss@'));
    const target = path.join(cache, 'file');
    await download(new URL('http://models.example.org/file'), target, {});
    expect(readFileSync(target).equals(body)).toBe(true);
    expect(proxy.requests[0]).toMatchObject({
      url: 'http://models.example.org/file',
      headers: {
        host: 'models.example.org',
        'proxy-authorization': `Basic ${Buffer.from('user:p@ss').toString('base64')}`,
      },
    });
  });

  test('https goes through a tunnel, and TLS is spoken to the far end', async () => {
    const far = await serve(() => {});
    const asked: (string | undefined)[] = [];
    const proxy = await serve(() => {});
    proxy.server.on('connect', (request, socket) => {
      asked.push(request.url);
      const through = connect(Number(new URL(far.origin).port), '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
        socket.pipe(through).pipe(socket);
      });
      for (const end of [socket, through]) end.on('error', () => end.destroy());
    });
    vi.stubEnv('https_proxy', proxy.origin);
    // The far end speaks no TLS, so the handshake must fail: that it was tried at the far end is what counts.
    const failed = download(new URL('https://models.example.org/file'), path.join(cache, 'file'), {
      firstBackoffMs: 1,
    });
    await expect(failed).rejects.toMatchObject({ code: 'ERR_DOWNLOAD' });
    expect(asked[0]).toBe('models.example.org:443');
    expect(far.requests).toHaveLength(0);
  });
});

test('names that lead nowhere say what there is', async () => {
  await expect(resolveModel('smolm2')).rejects.toMatchObject({
    code: 'ERR_MODEL_NOT_FOUND',
    message: expect.stringContaining("did you mean 'smollm2'?"),
  });
  await expect(resolveModel(cache)).rejects.toMatchObject({
    code: 'ERR_MODEL_NOT_FOUND',
    message: expect.stringContaining('folder'),
  });
  await expect(resolveModel(SPEC, { download: false })).rejects.toMatchObject({
    code: 'ERR_MODEL_NOT_FOUND',
  });
  await expect(resolveModel('smollm2', { download: false })).rejects.toMatchObject({
    code: 'ERR_MODEL_NOT_FOUND',
  });
  await expect(resolveModel('')).rejects.toMatchObject({ code: 'ERR_OPTION' });
  const signal = AbortSignal.abort();
  await expect(resolveModel('smollm2', { signal })).rejects.toMatchObject({ code: 'ERR_ABORTED' });
});
