/**
 * Camera addresses as people paste them. Pure.
 * Invariant: what comes out as `url` carries no credentials.
 */

export interface SplitAddress {
  url: string;
  username: string | null;
  password: string | null;
}

/**
 * Moves `user:password@` out of an address. It does not use `URL`, because cameras' passwords are
 * pasted raw: with `@`, `:`, `/` or `#` in them, which `URL` cuts in the wrong places.
 */
export function splitCredentials(input: string): SplitAddress {
  const text = input.trim();
  const scheme = /^[a-z][a-z0-9+.-]*:\/\//i.exec(text)?.[0];
  if (scheme === undefined) return { url: text, username: null, password: null };
  const rest = text.slice(scheme.length);
  const end = hostBoundary(rest);
  const at = rest.lastIndexOf('@', end);
  if (at < 0) return { url: text, username: null, password: null };
  const userinfo = rest.slice(0, at);
  const colon = userinfo.indexOf(':');
  const username = colon < 0 ? userinfo : userinfo.slice(0, colon);
  const password = colon < 0 ? null : userinfo.slice(colon + 1);
  return {
    url: scheme + rest.slice(at + 1),
    username: decode(username),
    password: password === null ? null : decode(password),
  };
}

/**
 * The last `@` that still belongs to the credentials: an `@` after the path began is one only if
 * what follows it looks like a host, and what stands before it has a colon (`user:pa/ss@host`).
 */
function hostBoundary(rest: string): number {
  const slash = rest.indexOf('/');
  if (slash < 0) return rest.length;
  if (rest.slice(0, slash).includes('@')) return slash;
  const late = /^[^/@:]+:[^@]*@(?=(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(:\d+)?(\/|$))/i.exec(rest);
  // Without an `@` before the first slash, `host:554/…@…` would match too: a port is only digits.
  if (late && !/^[^/@:]+:\d+\//.test(rest)) return late[0].length;
  return slash;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The address of a camera to try things out with. */
function isDemo(text: string): boolean {
  return /^demo:\d+(\/sub)?$/.test(text);
}

interface Login {
  url: string;
  sub_url?: string | null;
  username?: string | null;
}

/**
 * Whether a stored login still goes where it went before: the same user, and no address with another scheme,
 * host or port. Elsewhere it is forgotten.
 */
export function loginStays(before: Login, now: Login): boolean {
  if ((before.username ?? '') !== (now.username ?? '')) return false;
  const known = addresses(before).map(origin);
  return addresses(now).every((url) => known.includes(origin(url)));
}

function addresses(login: Login): string[] {
  return [login.url, login.sub_url ?? ''].map((url) => url.trim()).filter((url) => url !== '');
}

function origin(url: string): string {
  const [, scheme = '', host = '', port = ''] =
    /^(rtsps?):\/\/(\[[^\]]*\]|[^/:?#]*)(?::(\d+))?/i.exec(url) ?? [];
  const usual = scheme.toLowerCase() === 'rtsps' ? 322 : 554;
  return `${scheme} ${host} ${port === '' ? usual : Number(port)}`.toLowerCase();
}

/** What is wrong with an address, before anybody is asked. */
export function addressFault(url: string): 'empty' | 'scheme' | 'host' | null {
  const text = url.trim();
  if (text === '') return 'empty';
  if (isDemo(text)) return null;
  if (!/^rtsps?:\/\//i.test(text)) return 'scheme';
  return /^rtsps?:\/\/(\[[0-9a-f:.]+\]|[^/:?#\s]+)/i.test(text) ? null : 'host';
}

/** Gives an address without a scheme the usual one. */
export function completed(input: string): string {
  const text = input.trim();
  return text === '' || isDemo(text) || /^[a-z][a-z0-9+.-]*:\/\//i.test(text)
    ? text
    : `rtsp://${text}`;
}
