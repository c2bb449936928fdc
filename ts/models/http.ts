import http from 'node:http';
import https from 'node:https';
import type { Socket } from 'node:net';
import tls from 'node:tls';
import { DyadicError } from '../errors.ts';

const MAX_REDIRECTS = 10;

/** @internal */
export interface RequestOptions {
  headers?: Readonly<Record<string, string>>;
  /** Sent to the origin of the first URL only, never after a redirect to another. */
  token?: string | undefined;
  /** Longest silence of the server, before and within the body, in ms. */
  idleTimeoutMs: number;
  signal?: AbortSignal | undefined;
}

/** @internal */
export interface Response {
  status: number;
  headers: http.IncomingHttpHeaders;
  /** Headers of the redirects on the way, the first first. */
  via: http.IncomingHttpHeaders[];
  /** Must be read to its end or destroyed. */
  body: http.IncomingMessage;
}

/** Whether `no_proxy` (comma-separated host suffixes, each with or without a leading dot or a port, or `*`) excludes a URL. */
function bypassesProxy(url: URL, noProxy: string): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, '').toLowerCase();
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  return noProxy
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((rule) => rule !== '')
    .some((rule) => {
      if (rule === '*') return true;
      const [, ruleHost = '', rulePort] = /^(.*?)(?::(\d+))?$/.exec(rule) ?? [];
      if (rulePort !== undefined && rulePort !== port) return false;
      const suffix = ruleHost.replace(/^\*?\./, '');
      return host === suffix || host.endsWith(`.${suffix}`);
    });
}

/**
 * The proxy that the environment names for a URL: `https_proxy`, `http_proxy`, `all_proxy` and `no_proxy`, in lower or upper case.
 * @internal
 */
export function proxyFor(url: URL, env: NodeJS.ProcessEnv = process.env): URL | undefined {
  const read = (name: string) => env[name] || env[name.toUpperCase()];
  const proxy = read(`${url.protocol.slice(0, -1)}_proxy`) ?? read('all_proxy');
  if (!proxy || bypassesProxy(url, read('no_proxy') ?? '')) return undefined;
  try {
    const parsed = new URL(proxy.includes('://') ? proxy : `http://${proxy}`);
    if (parsed.protocol === 'http:' || parsed.protocol === 'https:') return parsed;
  } catch {
    // Reported below, like a scheme that is not spoken here.
  }
  throw new DyadicError(
    'ERR_DOWNLOAD',
    `the proxy in ${url.protocol.slice(0, -1)}_proxy is not an http:// or https:// URL`,
  );
}

function proxyHeaders(proxy: URL): Record<string, string> {
  if (proxy.username === '') return {};
  const credentials = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
  return { 'proxy-authorization': `Basic ${Buffer.from(credentials).toString('base64')}` };
}

const clientOf = (url: URL) => (url.protocol === 'https:' ? https : http);

/** Opens a tunnel to an https origin through a proxy and speaks TLS in it. */
function tunnel(url: URL, proxy: URL, options: RequestOptions): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const authority = `${url.hostname}:${url.port || 443}`;
    const request = clientOf(proxy).request(proxy, {
      method: 'CONNECT',
      path: authority,
      headers: { host: authority, ...proxyHeaders(proxy) },
      agent: false,
      signal: options.signal,
      timeout: options.idleTimeoutMs,
    });
    request.once('timeout', () =>
      request.destroy(new Error(`the proxy was silent for ${options.idleTimeoutMs} ms`)),
    );
    request.once('error', reject);
    request.once('response', (response) => {
      response.destroy();
      reject(new Error(`the proxy answered CONNECT with ${response.statusCode}`));
    });
    request.once('connect', (response, socket) => {
      if (response.statusCode !== 200) {
        socket.destroy();
        reject(new Error(`the proxy answered CONNECT with ${response.statusCode}`));
        return;
      }
      const secure = tls.connect({ socket, servername: url.hostname });
      secure.once('secureConnect', () => resolve(secure));
      secure.once('error', reject);
    });
    request.end();
  });
}

async function requestOnce(
  url: URL,
  headers: Record<string, string>,
  options: RequestOptions,
): Promise<http.IncomingMessage> {
  const proxy = proxyFor(url);
  const socket =
    proxy !== undefined && url.protocol === 'https:' ? await tunnel(url, proxy, options) : undefined;
  return new Promise((resolve, reject) => {
    const common = { headers, signal: options.signal, timeout: options.idleTimeoutMs };
    let request: http.ClientRequest;
    if (socket !== undefined) {
      request = https.request(url, { ...common, createConnection: () => socket });
    } else if (proxy !== undefined) {
      const forProxy = { ...headers, host: url.host, ...proxyHeaders(proxy) };
      request = clientOf(proxy).request(proxy, {
        ...common,
        agent: false,
        path: url.href,
        headers: forProxy,
      });
    } else {
      request = clientOf(url).request(url, { ...common, agent: false });
    }
    request.once('timeout', () =>
      request.destroy(new Error(`${url.host} was silent for ${options.idleTimeoutMs} ms`)),
    );
    request.once('error', reject);
    request.once('response', resolve);
    request.end();
  });
}

/**
 * GET with redirects and the proxies of the environment. An https URL never redirects to an http one.
 *
 * @throws the error of the operating system or of TLS as it came, or DyadicError `ERR_DOWNLOAD`.
 * @internal
 */
export async function get(url: URL, options: RequestOptions): Promise<Response> {
  const via: http.IncomingHttpHeaders[] = [];
  const { origin } = url;
  let trusted = true;
  let current = url;
  for (;;) {
    // A token that has left its origin is not sent again, even when a later redirect leads back.
    trusted &&= current.origin === origin;
    const headers: Record<string, string> = {
      'user-agent': 'dyadic',
      'accept-encoding': 'identity',
      ...options.headers,
    };
    if (trusted && options.token !== undefined) headers.authorization = `Bearer ${options.token}`;
    const body = await requestOnce(current, headers, options);
    const status = body.statusCode ?? 0;
    if (![301, 302, 303, 307, 308].includes(status) || body.headers.location === undefined) {
      return { status, headers: body.headers, via, body };
    }
    body.destroy();
    via.push(body.headers);
    if (via.length > MAX_REDIRECTS)
      throw new DyadicError('ERR_DOWNLOAD', `${url.href}: more than ${MAX_REDIRECTS} redirects`);
    const next = URL.canParse(body.headers.location, current.href)
      ? new URL(body.headers.location, current)
      : undefined;
    if (
      next === undefined ||
      !/^https?:$/.test(next.protocol) ||
      (current.protocol === 'https:' && next.protocol === 'http:')
    ) {
      throw new DyadicError(
        'ERR_DOWNLOAD',
        `${current.origin} redirects to ${body.headers.location.slice(0, 200)}, which is not followed`,
      );
    }
    current = next;
  }
}
