// Requests to the box. The session lives in httpOnly cookies; an expired access token is renewed once, transparently.
import type { ErrorBody } from './types';

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly remedy: string,
    readonly field?: string,
    readonly problems: { key: string; message: string }[] = [],
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

type Listener = () => void;
const loggedOut = new Set<Listener>();

/** Calls back when the session has ended and cannot be renewed. */
export function onLoggedOut(listener: Listener): () => void {
  loggedOut.add(listener);
  return () => loggedOut.delete(listener);
}

let renewing: Promise<boolean> | null = null;

/** Renews the session; requests that fail at the same time share one renewal, as a refresh token works once. */
export function renew(): Promise<boolean> {
  renewing ??= fetch('/api/admin/refresh', { method: 'POST', headers: { 'X-GTV-Request': '1' } })
    .then((response) => response.ok)
    .catch(() => false)
    .finally(() => {
      renewing = null;
    });
  return renewing;
}

async function failure(response: Response): Promise<ApiError> {
  let body: ErrorBody['error'] | undefined;
  try {
    body = ((await response.json()) as ErrorBody).error;
  } catch {
    body = undefined;
  }
  return new ApiError(
    response.status,
    body?.code ?? 'http',
    body?.message ?? `HTTP ${response.status}`,
    body?.remedy ?? '',
    body?.field,
    body?.problems,
  );
}

export interface RequestOptions {
  method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Sent as JSON. */
  body?: unknown;
  /** Sent as it is, in place of `body`. */
  file?: { data: Blob; type: string };
  signal?: AbortSignal;
}

/** The answer of a success as it came. */
export async function respond(path: string, options: RequestOptions = {}): Promise<Response> {
  const send = (): Promise<Response> => {
    const init: RequestInit = { method: options.method ?? 'GET', headers: { 'X-GTV-Request': '1' } };
    if (options.signal) init.signal = options.signal;
    if (options.body !== undefined) {
      init.body = JSON.stringify(options.body);
      init.headers = { 'X-GTV-Request': '1', 'Content-Type': 'application/json' };
    } else if (options.file) {
      init.body = options.file.data;
      init.headers = { 'X-GTV-Request': '1', 'Content-Type': options.file.type };
    }
    return fetch(path, init);
  };
  let response: Response;
  try {
    response = await send();
    const expired = response.status === 401 && !/\/(login|refresh|setup)$/.test(path);
    if (expired) {
      if (await renew()) response = await send();
      if (response.status === 401) loggedOut.forEach((listener) => listener());
    }
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new ApiError(0, 'offline', 'The box does not answer.', 'Check the network and that the box is on.');
  }
  if (!response.ok) throw await failure(response);
  return response;
}

export async function request<T>(path: string, options: RequestOptions = {}): Promise<T> {
  const response = await respond(path, options);
  if (response.status === 204) return undefined as T;
  if (response.headers.get('Content-Type')?.startsWith('text/plain')) return (await response.text()) as T;
  return (await response.json()) as T;
}

/** A WebSocket address on the box the page came from. */
export function socketUrl(path: string): string {
  const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
  return `${scheme}//${location.host}${path}`;
}
