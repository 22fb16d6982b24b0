/**
 * The page inside the app: which computer it belongs to comes from a code that was scanned, or from a
 * link that opened the app. A code is taken by starting the page anew, so that all of it is about one
 * computer.
 */
import { invoke } from '@tauri-apps/api/core';
import { listen } from '@tauri-apps/api/event';
import { Phone } from './phone.svelte';
import { readInvitation } from './session/invitation';
import type { Keep, Paired } from './session/keep';
import { appWires } from './session/wire-app';

/** Where a code waits for the page to start anew. Gone as soon as it was read. */
const CODE = 'nightjar.code';
/** The token that let this phone in last: the system tells of the link that it stood in again and again. */
const SPENT = 'nightjar.spent';

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
  take(content);
}

/** Starts anew with what a code says, where it is one. */
function take(code: string | undefined): void {
  if (code === undefined || readCode(code) === null) return;
  sessionStorage.setItem(CODE, code);
  location.reload();
}

/** Links that come while the app runs already. */
async function follow(): Promise<void> {
  await listen<string[]>('deep-link://new-url', ({ payload }) => take(payload.at(-1)));
}

export async function openInApp(keep: Keep, computers: Paired[]): Promise<Phone> {
  void follow().catch(() => {});
  const kept = sessionStorage.getItem(CODE);
  sessionStorage.removeItem(CODE);
  const read = readCode(kept ?? (await opened()));
  const code = read?.invitation.token === localStorage.getItem(SPENT) ? null : read;
  const [known] = computers;
  const origin = code?.origin ?? known?.origin ?? 'https://computer.invalid';
  const pin = code?.invitation.pin ?? known?.relay;
  const openWire = appWires(origin, pin === undefined ? [] : [pin], () => phone.impostor());
  const remember = (paired: Paired) => {
    if (code !== null) localStorage.setItem(SPENT, code.invitation.token);
    return keep.remember(paired);
  };
  const phone: Phone = new Phone(
    { openWire, keep: { ...keep, remember }, origin, kind: 'app', room: null, scan },
    code?.invitation ?? null,
    computers,
  );
  return phone;
}
