/**
 * The phone's key, and what it proves with it. The texts that are signed and hashed are those of
 * `signaling/src/proof.rs`. Invariant: the private key never leaves the browser's key store.
 */
import type { Welcome } from '../bindings/signaling';

const EC = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const SIGN = { name: 'ECDSA', hash: 'SHA-256' } as const;

export function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replace(/=+$/, '');
}

export function unbase64url(text: string): Uint8Array<ArrayBuffer> {
  const plain = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  return Uint8Array.from(plain, (letter) => letter.charCodeAt(0));
}

/** 16 random bytes, base64url. */
export function nonce(): string {
  return base64url(crypto.getRandomValues(new Uint8Array(16)));
}

const bytesOf = (lines: readonly string[]) => new TextEncoder().encode(lines.join('\n'));

export function makeKey(): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey(EC, false, ['sign', 'verify']);
}

/** The public half as the computer knows it. */
export async function publicKey(pair: CryptoKeyPair): Promise<string> {
  return base64url(new Uint8Array(await crypto.subtle.exportKey('spki', pair.publicKey)));
}

/** That this phone has its key, to this computer, this once. */
export async function signAuth(
  pair: CryptoKeyPair,
  parts: { nonce: string; nonce_c: string; relay: string; device: string; host: string },
): Promise<string> {
  const { nonce: theirs, nonce_c, relay, device, host } = parts;
  const text = bytesOf(['camrelay-v1-auth', theirs, nonce_c, relay, device, host]);
  return base64url(new Uint8Array(await crypto.subtle.sign(SIGN, pair.privateKey, text)));
}

/** The six digits of a pairing, from both keys and both nonces. */
export async function digits(
  relay: string,
  spki: string,
  nonce: string,
  nonce_c: string,
): Promise<string> {
  const text = bytesOf(['camrelay-v1-pair', relay, spki, nonce, nonce_c]);
  const hash = new DataView(await crypto.subtle.digest('SHA-256', text));
  return String(hash.getUint32(0) % 1_000_000).padStart(6, '0');
}

/** Whether the welcome was signed, for our nonce, by the key that the code of the computer named. */
export async function isGenuine(
  welcome: Welcome,
  nonce_c: string,
  pin: string | null,
): Promise<boolean> {
  const { relay_id, relay_key, sig } = welcome;
  if (pin !== null && relay_id !== pin) return false;
  if (!relay_key || !sig) return false;
  try {
    const spki = unbase64url(relay_key);
    const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', spki));
    if (base64url(hash) !== relay_id) return false;
    const key = await crypto.subtle.importKey('spki', spki, EC, false, ['verify']);
    const text = bytesOf(['camrelay-v1-hello', relay_id, welcome.nonce, nonce_c]);
    return await crypto.subtle.verify(SIGN, key, unbase64url(sig), text);
  } catch {
    return false;
  }
}
