/** What every feature gets from the page: handed down once, in `App.svelte`. */
import { getContext, setContext } from 'svelte';
import type { Capabilities } from '../media/capability';
import type { PlayerFactory } from '../media/player';
import type { Platform } from '../platform/types';
import type { Fleet } from './fleet.svelte';

export interface Page {
  platform: Platform;
  fleet: Fleet;
  capabilities: Capabilities;
  players: PlayerFactory;
}

const KEY = Symbol('page');

export function providePage(page: Page): void {
  setContext(KEY, page);
}

export function usePage(): Page {
  return getContext<Page>(KEY);
}
