/**
 * The platform inside the desktop window: the same HTTP, through a door that the shell opens on
 * loopback with a token for this run. The only place that speaks to the shell.
 */
import { getCurrentWindow } from '@tauri-apps/api/window';
import { commands, events } from '../bindings/commands';
import { httpPlatform } from './http';
import { ApiError, type Platform } from './types';

type Result<T> =
  | { status: 'ok'; data: T }
  | { status: 'error'; error: { code: string; message: string } };

export function insideShell(): boolean {
  return '__TAURI_INTERNALS__' in globalThis;
}

/** What a command gave, or its error as any other that the page shows. */
async function done<T>(call: Promise<Result<T>>): Promise<T> {
  const result = await call;
  if (result.status === 'ok') return result.data;
  throw new ApiError(0, result.error.code, result.error.message);
}

export function tauriPlatform(): Platform {
  return httpPlatform({
    kind: 'desktop',
    address: 'Nightjar',
    door: async () => {
      const { base_url, token } = await done(commands.door());
      return {
        base: base_url,
        bearer: token,
        async ticketed(path) {
          const ticket = await done(commands.ticket(path.split('?')[0] ?? path));
          return `${path}${path.includes('?') ? '&' : '?'}ticket=${encodeURIComponent(ticket)}`;
        },
      };
    },
    desktop: {
      async again() {
        await commands.doorAgain();
      },
      settings: () => commands.settingsGet(),
      async apply(settings) {
        await done(commands.settingsSet(settings));
      },
      async speak(language) {
        await done(commands.speak(language));
      },
      async save(file, name) {
        const bytes = [...new Uint8Array(await file.arrayBuffer())];
        return done(commands.save(name, bytes));
      },
      saveExport: (id) => done(commands.saveExport(id)),
      onOpenCamera: (show) => events.openCamera.listen(({ payload }) => show(payload.id)),
      setFullscreen: (on) => getCurrentWindow().setFullscreen(on),
    },
  });
}
