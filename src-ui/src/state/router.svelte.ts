/** Where the page is, from the address after `#`, so that back, reload and links work. */

import { localText, localTime } from './past';

export type Route =
  | { place: 'wall'; zoom: string | null }
  | { place: 'timeline'; cameras: string[]; at: number | null }
  | { place: 'cameras'; id: string | null; adding: 'camera' | 'phone' | null }
  | { place: 'alerts' }
  | { place: 'settings' }
  | { place: 'login' };

export function parseRoute(hash: string): Route {
  const [place, rest, ...more] = hash.replace(/^#\/?/, '').split('/').map(safeDecode);
  switch (place) {
    case 'timeline': {
      const cameras = (rest ?? '').split(',').filter((id) => id !== '' && id !== 'all');
      return { place: 'timeline', cameras, at: more[0] ? localTime(more[0]) : null };
    }
    case 'cameras':
      if (rest === 'add' && more.length === 0) return { place, id: null, adding: 'camera' };
      if (rest === 'phone' && more.length === 0) return { place, id: null, adding: 'phone' };
      return { place, id: rest === 'edit' && more[0] ? more[0] : null, adding: null };
    case 'alerts':
      return { place: 'alerts' };
    case 'settings':
      return { place: 'settings' };
    case 'login':
      return { place: 'login' };
    default:
      return { place: 'wall', zoom: place === 'wall' && rest ? rest : null };
  }
}

function safeDecode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return '';
  }
}

export const hrefs = {
  wall: '#/wall',
  zoom: (id: string) => `#/wall/${encodeURIComponent(id)}`,
  timeline: (cameras: readonly string[] = [], at: number | null = null) => {
    const ids = cameras.map(encodeURIComponent).join(',') || 'all';
    if (at === null) return cameras.length === 0 ? '#/timeline' : `#/timeline/${ids}`;
    return `#/timeline/${ids}/${localText(at)}`;
  },
  cameras: '#/cameras',
  add: '#/cameras/add',
  addPhone: '#/cameras/phone',
  edit: (id: string) => `#/cameras/edit/${encodeURIComponent(id)}`,
  alerts: '#/alerts',
  settings: '#/settings',
  login: '#/login',
} as const;

let route = $state<Route>(parseRoute(globalThis.location?.hash ?? ''));

export const router = {
  get route(): Route {
    return route;
  },
  go(href: string): void {
    if (location.hash !== href) location.hash = href;
  },
  /** Goes there in place of where the page is: no way back leads here. */
  swap(href: string): void {
    history.replaceState(null, '', href);
    route = parseRoute(href);
  },
  /** Writes down where the page already is. */
  replace(href: string): void {
    if (location.hash !== href) history.replaceState(null, '', href);
  },
  /** Follows the address from now on; returns the way to stop. */
  follow(): () => void {
    const update = () => {
      route = parseRoute(location.hash);
    };
    addEventListener('hashchange', update);
    return () => removeEventListener('hashchange', update);
  },
};
