/**
 * The page inside the app: which computer it belongs to comes from a code that was scanned, or from a
 * link that opened the app. A code is taken by starting the page anew, so that all of it is about one
 * computer.
 */
import { invoke } from '@tauri-apps/api/core';
import { Phone } from './phone.svelte';
import { readInvitation } from './session/invitation';
import type { Keep, Paired } from './session/keep';
import { appWires } from './session/wire-app';

/** Where a code waits for the page to start anew. Gone as soon as it was read. */
const CODE = 'nightjar.code';

/** The computer's origin and its invitation, out of what a code says. */
export function readCode(text: string | null) {
  if (text === null || !URL.canParse(text)) return null;
  const url = new URL(text.replace(/^camrelay:/, 'https:'));
  const invitation = readInvitation(url.hash);
  return invitation === null ? null : { origin: url.origin, invitation };
}

async function opened(): Promise<string | null> {
  const links = await invoke<string[] | null>('plugin:deep-link|get_current').catch(() => null);
  return links?.at(-1) ?? null;
}

async function scan(): Promise<void> {
  await invoke('plugin:barcode-scanner|request_permissions').catch(() => {});
  // The scanner lets go of the camera before it gives what it read.
  const { content } = await invoke<{ content: string }>('plugin:barcode-scanner|scan', {
    formats: ['QR_CODE'],
  });
  if (readCode(content) === null) return;
  sessionStorage.setItem(CODE, content);
  location.reload();
}

export async function openInApp(keep: Keep, computers: Paired[]): Promise<Phone> {
  const kept = sessionStorage.getItem(CODE);
  sessionStorage.removeItem(CODE);
  const code = readCode(kept ?? (await opened()));
  const [known] = computers;
  const origin = code?.origin ?? known?.origin ?? 'https://computer.invalid';
  const pin = code?.invitation.pin ?? known?.relay;
  const openWire = appWires(origin, pin === undefined ? [] : [pin], () => phone.impostor());
  const phone: Phone = new Phone(
    { openWire, keep, origin, kind: 'app', room: null, scan },
    code?.invitation ?? null,
    computers,
  );
  return phone;
}
