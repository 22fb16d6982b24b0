/**
 * Carries messages by the app around the page, which trusts the key that was scanned and nothing
 * else. Invariant: as of any wire, and the wire before it is over when a new one is opened.
 */
import { Channel, invoke } from '@tauri-apps/api/core';
import { guarded, type OpenWire, read } from './wire';

/** What the app tells of a wire; see `mobile/src/app.rs`. */
type Told =
  | { kind: 'open' }
  | { kind: 'message'; text: string }
  | { kind: 'closed'; code: number | null; impostor: boolean };

let newest = 0;

/** Wires to the computer at this origin that owns one of the keys. */
export function appWires(
  origin: string,
  pins: readonly string[],
  onImpostor: () => void,
): OpenWire {
  return (_way, handlers) => {
    newest += 1;
    const number = newest;
    const once = guarded(handlers);
    const tell = new Channel<Told>();
    tell.onmessage = (told) => {
      if (told.kind === 'open') {
        once.onOpen();
      } else if (told.kind === 'message') {
        const message = read(told.text);
        if (message !== null) once.onMessage(message);
      } else {
        if (told.impostor && !once.over) onImpostor();
        once.onClose(told.code);
      }
    };
    // One after the other: each is a request of its own, and requests may overtake each other.
    let chain = invoke('dial', { number, origin, pins, tell }).catch(() => once.onClose(null));
    return {
      send(message) {
        if (once.over) return;
        const text = JSON.stringify(message);
        chain = chain.then(async () => {
          const queued = await invoke<boolean>('say', { number, text }).catch(() => false);
          if (!queued) once.onClose(null);
        });
      },
      close() {
        once.end();
        // What was said before is said first.
        chain.then(() => invoke('hang_up', { number })).catch(() => {});
      },
    };
  };
}
