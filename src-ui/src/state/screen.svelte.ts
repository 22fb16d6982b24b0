/**
 * Full screen, and whether the chrome shows in it. In full screen the chrome is there while the
 * pointer moves and goes when it rests.
 */

const REST_MS = 2500;
let full = $state(false);
let awake = $state(true);
let setWindow: ((on: boolean) => Promise<void>) | null = null;
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
    full = !full;
    stir();
    // Where there is no full screen to be had, hiding the chrome is still most of it.
    if (setWindow) await setWindow(full).catch(() => {});
    else if (full) await document.documentElement.requestFullscreen?.().catch(() => {});
    else if (document.fullscreenElement) await document.exitFullscreen().catch(() => {});
  },
  leave(): void {
    if (full) void this.toggle();
  },
  /** Follows the pointer and the browser; `windowed` is the desktop's own full screen. */
  follow(windowed?: (on: boolean) => Promise<void>): () => void {
    setWindow = windowed ?? null;
    const changed = () => {
      if (!document.fullscreenElement) full = false;
      stir();
    };
    document.addEventListener('fullscreenchange', changed);
    addEventListener('pointermove', stir);
    addEventListener('pointerdown', stir);
    addEventListener('keydown', stir);
    return () => {
      document.removeEventListener('fullscreenchange', changed);
      removeEventListener('pointermove', stir);
      removeEventListener('pointerdown', stir);
      removeEventListener('keydown', stir);
    };
  },
};
