import { expect, test, vi } from 'vitest';
import { Surroundings } from '../src/device/surroundings';

test('another network is one of another kind, not another guess at the speed of this one', () => {
  const network = Object.assign(new EventTarget(), { type: 'wifi', rtt: 50 });
  vi.stubGlobal('navigator', { onLine: true, connection: network });
  const onOnline = vi.fn();
  const others = { onVisible: vi.fn(), onChange: vi.fn(), onLeave: vi.fn() };
  const surroundings = new Surroundings({ ...others, onOnline });
  const change = (to: { type?: string; rtt?: number }) => {
    Object.assign(network, to);
    network.dispatchEvent(new Event('change'));
  };
  change({ rtt: 300 });
  expect(onOnline).toHaveBeenCalledTimes(0);
  change({ type: 'cellular' });
  expect(onOnline).toHaveBeenCalledTimes(1);
  expect(surroundings.net).toBe('cellular');
  change({ rtt: 100 });
  expect(onOnline).toHaveBeenCalledTimes(1);
  // Back from nowhere says the browser itself.
  dispatchEvent(new Event('online'));
  expect(onOnline).toHaveBeenCalledTimes(2);
  vi.unstubAllGlobals();
});
