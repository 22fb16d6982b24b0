/** What a tile asks of the wall it stands on. */
import type { Viewer } from '../../media/viewer';

export interface TileCommands {
  enter(id: string, viewer: Viewer): void;
  leave(id: string, viewer: Viewer): void;
  focused(id: string): void;
  zoom(id: string): void;
  snapshot(id: string): void;
  mute(id: string): void;
  stats(id: string): void;
  retry(id: string): void;
  record(id: string): void;
  why(id: string): void;
  makeBig(id: string): void;
  /** So many places on in the order of the wall; back where it is negative. */
  move(id: string, by: number): void;
}
