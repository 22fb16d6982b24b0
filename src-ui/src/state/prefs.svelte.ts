/**
 * How this screen shows things: kept in this browser, never on the server.
 * Invariant: whatever stands in the storage, every field has a usable value.
 */
import { type Language, systemLanguage } from '../i18n/index.svelte';
import { LAYOUTS, type Layout } from './layout';

export type Theme = 'dark' | 'light' | 'system';

export interface Group {
  id: string;
  name: string;
  cameras: string[];
}

export interface Prefs {
  language: Language | 'system';
  theme: Theme;
  layout: Layout;
  order: string[];
  groups: Group[];
  group: string | null;
  /** Cameras whose picture fills the tile although that crops it. */
  fill: string[];
  tourSeconds: number;
  smallStreams: boolean;
  statistics: boolean;
}

const KEY = 'nightjar.prefs';
export const TOUR_SECONDS = [5, 10, 20, 30, 60] as const;

export const defaults: Prefs = {
  language: 'system',
  theme: 'dark',
  layout: 'auto',
  order: [],
  groups: [],
  group: null,
  fill: [],
  tourSeconds: 10,
  smallStreams: true,
  statistics: false,
};

/** Reads stored preferences field by field; what does not fit becomes its default. Pure. */
export function parsePrefs(text: string | null): Prefs {
  let stored: Record<string, unknown> = {};
  try {
    const value: unknown = JSON.parse(text ?? '{}');
    if (typeof value === 'object' && value !== null) stored = value as Record<string, unknown>;
  } catch {
    // A damaged entry is an empty one.
  }
  const oneOf = <T>(value: unknown, allowed: readonly T[], fallback: T): T =>
    allowed.includes(value as T) ? (value as T) : fallback;
  const strings = (value: unknown): string[] =>
    Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
  const groups = Array.isArray(stored.groups) ? (stored.groups as Partial<Group>[]) : [];
  return {
    language: oneOf(stored.language, ['en', 'ko', 'system'] as const, defaults.language),
    theme: oneOf(stored.theme, ['dark', 'light', 'system'] as const, defaults.theme),
    layout: oneOf(stored.layout, LAYOUTS, defaults.layout),
    order: strings(stored.order),
    groups: groups.flatMap((group) =>
      typeof group?.id === 'string' && typeof group.name === 'string'
        ? [{ id: group.id, name: group.name, cameras: strings(group.cameras) }]
        : [],
    ),
    group: typeof stored.group === 'string' ? stored.group : null,
    fill: strings(stored.fill),
    tourSeconds: oneOf(stored.tourSeconds, TOUR_SECONDS, defaults.tourSeconds),
    smallStreams: oneOf(stored.smallStreams, [true, false], defaults.smallStreams),
    statistics: oneOf(stored.statistics, [true, false], defaults.statistics),
  };
}

function read(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

const current = $state<Prefs>(parsePrefs(read()));

/** The preferences, reactive; assign a field to change and keep it. */
export const prefs: Prefs = new Proxy(current, {
  set(target, key, value) {
    Reflect.set(target, key, value);
    try {
      localStorage.setItem(KEY, JSON.stringify(target));
    } catch {
      // Without storage the choice lasts as long as the page.
    }
    return true;
  },
});

export function chosenLanguage(): Language {
  return prefs.language === 'system' ? systemLanguage() : prefs.language;
}
