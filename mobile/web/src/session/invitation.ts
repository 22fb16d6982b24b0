/** The computer's QR code, as the part of an address after `#`. It reaches no server. */

export interface Invitation {
  /** Good once, for two minutes. */
  token: string;
  /** Hash of the computer's key. */
  pin: string;
  /** What the computer is called. */
  name: string;
}

const TOKEN = /^[A-Za-z0-9_-]{16,64}$/;
const PIN = /^[A-Za-z0-9_-]{43}$/;
const NAME_MAX = 64;

/** Reads `1.<token>.<pin>.<name>…`; null where it is none. */
export function readInvitation(fragment: string): Invitation | null {
  const [version, token = '', pin = '', name = ''] = fragment.replace(/^#/, '').split('.');
  if (version !== '1' || !TOKEN.test(token) || !PIN.test(pin)) return null;
  return { token, pin, name: nameOf(name) };
}

function nameOf(text: string): string {
  try {
    return decodeURIComponent(text)
      .replace(/\p{Cc}/gu, '')
      .slice(0, NAME_MAX);
  } catch {
    return '';
  }
}

/** Takes the invitation out of the address, so that it is neither kept in the history nor read over a shoulder. */
export function takeInvitation(location: Location, history: History): Invitation | null {
  const invitation = readInvitation(location.hash);
  if (location.hash !== '') {
    history.replaceState(null, '', location.pathname + location.search);
  }
  return invitation;
}
