/** What the person chose on this phone, kept for the next time. */
import type { Facing } from './device/camera';
import type { Quality } from './device/quality';

interface Settings {
  facing: Facing;
  quality: Quality;
  sound: boolean;
  /** What the wall calls this phone. */
  name: string;
  /** It was publishing when the page went away: it goes on by itself. */
  publishing: boolean;
}

const KEY = 'nightjar.phone';

function model(): string {
  if (/iPhone/.test(navigator.userAgent)) return 'iPhone';
  if (/iPad/.test(navigator.userAgent)) return 'iPad';
  if (/Android/.test(navigator.userAgent)) return 'Android';
  return '';
}

function load(): Settings {
  const fresh: Settings = {
    facing: 'environment',
    quality: 'medium',
    sound: true,
    name: model(),
    publishing: false,
  };
  try {
    return { ...fresh, ...(JSON.parse(localStorage.getItem(KEY) ?? '{}') as Partial<Settings>) };
  } catch {
    return fresh;
  }
}

const kept = $state(load());

function save(): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(kept));
  } catch {
    // A browser that keeps nothing still publishes.
  }
}

/** Reading one follows it; setting one keeps it. */
export const settings: Settings = new Proxy(kept, {
  set(target, name, value) {
    const done = Reflect.set(target, name, value);
    save();
    return done;
  },
});
