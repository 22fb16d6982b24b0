/** Which platform this page runs on: the desktop's shell, a browser, or (`?fake=…`) none at all. */
import { browserPlatform } from './http';
import { insideShell, tauriPlatform } from './tauri';
import type { Platform } from './types';

export async function choosePlatform(): Promise<Platform> {
  const fake = new URLSearchParams(location.search);
  if (fake.has('fake')) return (await import('./fake')).fakePlatform(fake);
  return insideShell() ? tauriPlatform() : browserPlatform();
}
