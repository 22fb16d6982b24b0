/**
 * What the server says is true: a pure fold over its event messages.
 * Invariant: `seq` grows by one with each message of a connection; a missing number means that the
 * whole picture may be wrong, so the fold asks for a new snapshot and changes nothing.
 */
import type { Alert, Camera, ServerEvent } from '../platform/types';

export interface World {
  /** Number of the newest message; null before the first snapshot. */
  seq: number | null;
  cameras: ReadonlyMap<string, Camera>;
  alerts: readonly Alert[];
  /** The server's run of which this is told; null before the first snapshot, or where it is not said. */
  run: string | null;
}

/** As many as the server keeps; of a page that stays open for months no more than that. */
const ALERTS_KEPT = 200;

export type Step = { kind: 'ok'; world: World } | { kind: 'resnapshot' };

export const emptyWorld: World = { seq: null, cameras: new Map(), alerts: [], run: null };

export function step(world: World, message: ServerEvent): Step {
  if (message.type === 'snapshot' && 'cameras' in message) {
    const cameras = new Map(message.cameras.map((camera) => [camera.id, camera]));
    const { seq, alerts, run = null } = message;
    return { kind: 'ok', world: { seq, cameras, alerts, run } };
  }
  if (world.seq === null || message.seq !== world.seq + 1) return { kind: 'resnapshot' };
  const next: World = { ...world, seq: message.seq };
  if (message.type === 'camera' && 'camera' in message) {
    next.cameras = new Map(world.cameras).set(message.camera.id, message.camera);
  } else if (message.type === 'camera_removed' && 'id' in message) {
    const cameras = new Map(world.cameras);
    cameras.delete(message.id);
    next.cameras = cameras;
  } else if (message.type === 'alert' && 'alert' in message) {
    const others = world.alerts.filter((alert) => alert.id !== message.alert.id);
    next.alerts = [message.alert, ...others]
      .sort((a, b) => Date.parse(b.since) - Date.parse(a.since))
      .filter((alert, index) => index < ALERTS_KEPT || alert.until == null);
  }
  // A newer server may speak of things this page does not know: they count, and change nothing.
  return { kind: 'ok', world: next };
}

/** A message as it came from the wire, or null where it is not one. */
export function parseEvent(text: string): ServerEvent | null {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null) return null;
    const { type, seq } = value as { type?: unknown; seq?: unknown };
    return typeof type === 'string' && typeof seq === 'number' ? (value as ServerEvent) : null;
  } catch {
    return null;
  }
}
