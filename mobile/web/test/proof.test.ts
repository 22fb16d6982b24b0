import { expect, test } from 'vitest';
import { readCode } from '../src/app';
import { weight } from '../src/device/outlet';
import { readInvitation, takeInvitation } from '../src/session/invitation';
import {
  base64url,
  digits,
  isGenuine,
  makeKey,
  nonce,
  publicKey,
  signAuth,
  unbase64url,
} from '../src/session/proof';

const SIGN = { name: 'ECDSA', hash: 'SHA-256' };
const text = (lines: string[]) => new TextEncoder().encode(lines.join('\n'));

async function relay() {
  const pair = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, [
    'sign',
    'verify',
  ]);
  const relay_key = await publicKey(pair);
  const relay_id = base64url(
    new Uint8Array(await crypto.subtle.digest('SHA-256', unbase64url(relay_key))),
  );
  const welcome = async (theirs: string, nonce_c: string) => {
    const lines = text(['camrelay-v1-hello', relay_id, theirs, nonce_c]);
    const sig = base64url(new Uint8Array(await crypto.subtle.sign(SIGN, pair.privateKey, lines)));
    return { relay_id, relay_key, nonce: theirs, sig } as never;
  };
  return { relay_id, welcome };
}

test('the computer of the code is known by its signature, and nobody else is', async () => {
  const [ours, other] = await Promise.all([relay(), relay()]);
  const nonce_c = nonce();
  const good = await ours.welcome('n', nonce_c);
  expect(await isGenuine(good, nonce_c, ours.relay_id)).toBe(true);
  expect(await isGenuine(good, nonce(), ours.relay_id)).toBe(false);
  const stranger = await other.welcome('n', nonce_c);
  expect(await isGenuine(stranger, nonce_c, ours.relay_id)).toBe(false);
  // It names the right key, and signs with another.
  const liar = { ...(stranger as object), relay_id: ours.relay_id } as never;
  expect(await isGenuine(liar, nonce_c, ours.relay_id)).toBe(false);
  const thief = { ...(good as object), sig: (stranger as { sig: string }).sig } as never;
  expect(await isGenuine(thief, nonce_c, ours.relay_id)).toBe(false);
  expect(await isGenuine({ ...(good as object), sig: null } as never, nonce_c, null)).toBe(false);
});

test('the phone proves its key, which cannot be taken out of it', async () => {
  const key = await makeKey();
  const parts = { nonce: 'n', nonce_c: 'c', relay: 'r', device: 'd', host: 'h:1' };
  const sig = unbase64url(await signAuth(key, parts));
  expect(sig).toHaveLength(64);
  const signed = text(['camrelay-v1-auth', 'n', 'c', 'r', 'd', 'h:1']);
  expect(await crypto.subtle.verify(SIGN, key.publicKey, sig, signed)).toBe(true);
  await expect(crypto.subtle.exportKey('pkcs8', key.privateKey)).rejects.toThrow();
});

test('both screens show the same six digits', async () => {
  const code = await digits('r', 's', 'n', 'c');
  const hash = new DataView(
    await crypto.subtle.digest('SHA-256', text(['camrelay-v1-pair', 'r', 's', 'n', 'c'])),
  );
  expect(code).toBe(String(hash.getUint32(0) % 1_000_000).padStart(6, '0'));
  expect(code).toMatch(/^\d{6}$/);
});

test('a code is read whole or not at all, and leaves the address', () => {
  const token = 'A'.repeat(22);
  const pin = 'B'.repeat(43);
  expect(readInvitation(`#1.${token}.${pin}.Desk%20%231.cam-abc.local`)).toEqual({
    token,
    pin,
    name: 'Desk #1',
  });
  expect(readInvitation(`#1.${token}.${pin}.%00%0aA`)?.name).toBe('A');
  for (const bad of ['', '#', `#2.${token}.${pin}.x`, `#1.${token}.short.x`, '#1..', '#/wall']) {
    expect(readInvitation(bad)).toBeNull();
  }
  const shown: string[] = [];
  const history = { replaceState: (_: unknown, __: string, url: string) => shown.push(url) };
  const address = { hash: `#1.${token}.${pin}.x`, pathname: '/publish', search: '' };
  expect(takeInvitation(address as never, history as never)?.token).toBe(token);
  expect(shown).toEqual(['/publish']);
});

test('H.264 that everybody can decode is sent first', () => {
  const codec = (mimeType: string, sdpFmtpLine = '') =>
    ({ mimeType, sdpFmtpLine, clockRate: 90_000 }) as RTCRtpCodec;
  const all = [
    codec('video/VP8'),
    codec('video/AV1'),
    codec('video/H265'),
    codec('video/H264', 'packetization-mode=0;profile-level-id=42e01f'),
    codec('video/H264', 'packetization-mode=1;profile-level-id=640c1f'),
    codec('video/H264', 'level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f'),
    codec('video/rtx'),
  ];
  const sorted = all.sort((a, b) => weight(a) - weight(b));
  expect(sorted.map((one) => one.mimeType.split('/')[1])).toEqual([
    'H264',
    'H264',
    'H264',
    'VP8',
    'AV1',
    'rtx',
    'H265',
  ]);
  expect(sorted[0]?.sdpFmtpLine).toContain('42e01f');
});

test('the app takes a code as a link or as an address, and the computer’s place from it', () => {
  const rest = `192.168.1.20:8443/publish#1.${'A'.repeat(22)}.${'B'.repeat(43)}.Desk`;
  for (const code of [`https://${rest}`, `camrelay://${rest}`]) {
    expect(readCode(code)).toMatchObject({
      origin: 'https://192.168.1.20:8443',
      invitation: { name: 'Desk' },
    });
  }
  for (const bad of [null, '', 'hello', 'https://192.168.1.20:8443/publish', 'mailto:a@b']) {
    expect(readCode(bad)).toBeNull();
  }
});
