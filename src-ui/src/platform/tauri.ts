/**
 * The platform inside the desktop window: the same HTTP, through a door that the shell opens on
 * loopback with a token for this run. The only place that speaks to the shell.
 */
import { invoke } from '@tauri-apps/api/core';
import { listen } from '@tauri-apps/api/event';
import { getCurrentWindow } from '@tauri-apps/api/window';
import { httpPlatform } from './http';
import type { DesktopSettings, Platform } from './types';

export function insideShell(): boolean {
  return '__TAURI_INTERNALS__' in globalThis;
}

export function tauriPlatform(): Platform {
  return httpPlatform({
    kind: 'desktop',
    address: 'Nightjar',
    door: async () => {
      const { base_url, token } = await invoke<{ base_url: string; token: string }>('door');
      return {
        base: base_url.replace(/\/$/, ''),
        bearer: token,
        async ticketed(path) {
          const ticket = await invoke<string>('ticket', { path: path.split('?')[0] });
          return `${path}${path.includes('?') ? '&' : '?'}ticket=${encodeURIComponent(ticket)}`;
        },
      };
    },
    desktop: {
      settings: () => invoke<DesktopSettings>('settings_get'),
      async apply(settings) {
        await invoke('settings_set', { settings });
      },
      async speak(language) {
        await invoke('speak', { language });
      },
      onOpenCamera: (show) =>
        listen<{ id: string }>('open-camera', ({ payload }) => show(payload.id)),
      setFullscreen: (on) => getCurrentWindow().setFullscreen(on),
    },
  });
}
