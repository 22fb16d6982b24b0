/**
 * Full screen, and whether the chrome shows in it. In full screen the chrome is there while the
 * pointer moves and goes when it rests.
 */

const REST_MS = 2500;
let full = $state(false);
let awake = $state(true);
let timer: ReturnType<typeof setTimeout> | null = null;

function stir(): void {
  awake = true;
  if (timer !== null) clearTimeout(timer);
  timer = full ? setTimeout(() => (awake = false), REST_MS) : null;
}

export const screen = {
  get full(): boolean {
    return full;
  },
  get chrome(): boolean {
    return !full || awake;
  },
  async toggle(): Promise<void> {
    if (full) {
      full = false;
      if (document.fullscreenElement) await document.exitFullscreen().catch(() => {});
    } else {
      full = true;
      // Where the browser has no full screen, hiding the chrome is still most of it.
      await document.documentElement.requestFullscreen?.().catch(() => {});
    }
    stir();
  },
  leave(): void {
    if (full) void this.toggle();
  },
  follow(): () => void {
    const changed = () => {
      if (!document.fullscreenElement) full = false;
      stir();
    };
    document.addEventListener('fullscreenchange', changed);
    addEventListener('pointermove', stir);
    addEventListener('keydown', stir);
    return () => {
      document.removeEventListener('fullscreenchange', changed);
      removeEventListener('pointermove', stir);
      removeEventListener('keydown', stir);
    };
  },
};
