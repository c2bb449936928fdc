import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach } from 'vitest';

/** A server on this machine with a record of what it was asked. */
export interface TestServer {
  origin: string;
  requests: Pick<IncomingMessage, 'url' | 'method' | 'headers'>[];
  server: Server;
}

const open: Server[] = [];
afterEach(async () => {
  for (const server of open.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

/** Starts a server that is gone after the test. */
export async function serve(handler: RequestListener): Promise<TestServer> {
  const requests: TestServer['requests'] = [];
  const server = createServer((request, response) => {
    requests.push({ url: request.url, method: request.method, headers: request.headers });
    handler(request, response);
  });
  open.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests, server };
}

/** Serves one body as a store does: whole, or from the offset of a Range header. `cut` ends the connection after so many bytes. */
export function sendFile(
  body: Buffer,
  etag: string,
  cut: () => number = () => Number.POSITIVE_INFINITY,
): RequestListener {
  return (request, response) => {
    const range = /^bytes=(\d+)-$/.exec(request.headers.range ?? '');
    const start = range === null ? 0 : Number(range[1]);
    if (start >= body.length) {
      response.writeHead(416, { 'content-range': `bytes */${body.length}` }).end();
      return;
    }
    const headers: Record<string, string | number> = {
      etag: `"${etag}"`,
      'content-length': body.length - start,
    };
    if (range !== null) headers['content-range'] = `bytes ${start}-${body.length - 1}/${body.length}`;
    response.writeHead(range === null ? 200 : 206, headers);
    const limit = cut();
    if (limit >= body.length - start) response.end(body.subarray(start));
    // The pause lets the other end take what was sent: a reset may overtake it.
    else response.write(body.subarray(start, start + limit), () => setTimeout(() => response.destroy(), 50));
  };
}
