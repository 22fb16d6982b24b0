/**
 * What goes on around the page: seen or not, which network, how full the battery is, how it is held;
 * and the lock that keeps the screen on. Each is used where the browser has it and missing elsewhere.
 */
export interface Battery {
  /** Per cent. */
  level: number;
  charging: boolean;
}

export interface SurroundingsHandlers {
  onVisible(on: boolean): void;
  /** The network is back, or another one. */
  onOnline(): void;
  onChange(): void;
  /** The page goes away for good. */
  onLeave(): void;
}

interface NetworkInformation extends EventTarget {
  type?: string;
}
interface BatteryManager extends EventTarget {
  level: number;
  charging: boolean;
}
interface PressureObserverLike {
  observe(source: string, options?: { sampleInterval: number }): Promise<void>;
}
type PressureObserverClass = new (
  changed: (records: { state: string }[]) => void,
) => PressureObserverLike;

export class Surroundings {
  battery: Battery | null = null;
  /** The system says that it is hot or overloaded. */
  pressed = false;
  #handlers: SurroundingsHandlers;
  #lock: WakeLockSentinel | null = null;
  #lockWanted = false;
  #network = (navigator as { connection?: NetworkInformation }).connection;

  constructor(handlers: SurroundingsHandlers) {
    this.#handlers = handlers;
    document.addEventListener('visibilitychange', () => {
      const on = document.visibilityState === 'visible';
      handlers.onVisible(on);
      if (on) void this.#relock();
    });
    addEventListener('pagehide', ({ persisted }) => {
      if (persisted) handlers.onVisible(false);
      else handlers.onLeave();
    });
    addEventListener('pageshow', ({ persisted }) => {
      if (persisted) handlers.onVisible(true);
    });
    addEventListener('online', () => handlers.onOnline());
    let net = this.net;
    this.#network?.addEventListener('change', () => {
      // Most changes are of the browser's guess at the speed.
      const other = this.net !== net;
      net = this.net;
      if (other && navigator.onLine) handlers.onOnline();
      handlers.onChange();
    });
    screen.orientation?.addEventListener?.('change', () => handlers.onChange());
    // A lock that was refused is asked for again when the person touches the page.
    addEventListener('pointerdown', () => void this.#relock(), { passive: true });
    void this.#followBattery();
    void this.#followPressure();
  }

  /** `wifi`, `cellular` and so on; null where the browser does not say. */
  get net(): string | null {
    const type = this.#network?.type;
    return type && type !== 'unknown' ? type : null;
  }

  /** Degrees clockwise. */
  get orientation(): number | null {
    return screen.orientation?.angle ?? null;
  }

  /** Whether the browser can; iPhones can since 16.4. */
  get canKeepAwake(): boolean {
    return navigator.wakeLock !== undefined;
  }

  /** Keeps the screen on from now on, or no longer. */
  keepAwake(on: boolean): void {
    this.#lockWanted = on;
    if (on) void this.#relock();
    else void this.#lock?.release().catch(() => {});
  }

  async #relock(): Promise<void> {
    if (!this.#lockWanted || !navigator.wakeLock) return;
    if (document.visibilityState !== 'visible') return;
    if (this.#lock && !this.#lock.released) return;
    try {
      this.#lock = await navigator.wakeLock.request('screen');
    } catch {
      // Refused for now: the next touch asks again.
    }
  }

  async #followBattery(): Promise<void> {
    const { getBattery } = navigator as { getBattery?: () => Promise<BatteryManager> };
    const found = await getBattery?.call(navigator).catch(() => undefined);
    if (!found) return;
    const read = () => {
      this.battery = { level: Math.round(found.level * 100), charging: found.charging };
      this.#handlers.onChange();
    };
    found.addEventListener('levelchange', read);
    found.addEventListener('chargingchange', read);
    read();
  }

  async #followPressure(): Promise<void> {
    const Observer = (globalThis as { PressureObserver?: PressureObserverClass }).PressureObserver;
    if (!Observer) return;
    const observer = new Observer((records) => {
      const state = records.at(-1)?.state;
      this.pressed = state === 'critical';
      this.#handlers.onChange();
    });
    await observer.observe('cpu', { sampleInterval: 2000 }).catch(() => {});
  }
}
