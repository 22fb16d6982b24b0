/**
 * `window.__nightjar`: what each tile shows, for tests and for a person with a console. Read-only.
 */
import { type ViewerReport, viewers } from './viewer';

export interface TileReport extends ViewerReport {
  id: string;
  video: HTMLVideoElement | null;
}

export interface NightjarWindow {
  version: string;
  tiles(): TileReport[];
  /** The same with figures that take a moment to get (WebRTC statistics). */
  measure(): Promise<TileReport[]>;
}

declare global {
  interface Window {
    __nightjar?: NightjarWindow;
  }
}

function tiles(): TileReport[] {
  return [...viewers].flatMap((viewer) =>
    viewer.cameraId === null
      ? []
      : [{ id: viewer.cameraId, video: viewer.video, ...viewer.report() }],
  );
}

export function exposeWindow(): void {
  window.__nightjar = Object.freeze({
    version: __VERSION__,
    tiles,
    async measure() {
      await Promise.all([...viewers].map((viewer) => viewer.refresh()));
      return tiles();
    },
  });
}
