import { describe, expect, test } from 'vitest';
import { shapeOf, Thrift } from '../src/device/quality';
import { en } from '../src/i18n/en';
import { ko } from '../src/i18n/ko';
import { type Said, say } from '../src/ui/say';

const LIVE: Said = {
  phase: 'connected',
  end: null,
  paused: null,
  linked: true,
  capture: 'live',
  refusal: null,
  dialAt: null,
  dialsFailed: 0,
  code: null,
  stranger: false,
};
const said = (more: Partial<Said>) => say({ ...LIVE, ...more }, 0, en);

describe('what the phone says', () => {
  test('is plain in each state', () => {
    expect(said({}).headline).toBe('Live');
    expect(said({ linked: false }).detail).toContain('does not answer');
    expect(said({ phase: 'paused', paused: 'hidden' }).headline).toBe('Paused: screen locked');
    expect(said({ phase: 'signaling', linked: false }).headline).toBe('Looking for your computer…');
    expect(said({ phase: 'degraded', linked: false }).headline).toBe('Looking for your computer…');
    const stranger = { stranger: true, linked: false } as const;
    expect(said({ phase: 'signaling', ...stranger })).toMatchObject({ tone: 'fail', busy: true });
    expect(said(stranger).headline).toBe('Live');
    expect(said({ phase: 'recovering' }).headline).toContain('Repairing');
    expect(said({ capture: 'ended' }).headline).toContain('camera stopped');
    expect(said({ capture: 'refused' })).toMatchObject({ tone: 'fail', act: 'again' });
    const refused = { capture: 'refused' } as const;
    expect(said({ ...refused, refusal: 'denied' }).detail).toContain('Allow the camera');
    expect(said({ ...refused, refusal: 'denied_app' }).detail).toContain('Nightjar');
    expect(said({ ...refused, refusal: 'missing' }).headline).toBe('There is no camera');
    expect(said({ ...refused, refusal: 'insecure' }).detail).toContain('https://');
    expect(said({ phase: 'closed', end: 'replaced' })).toMatchObject({
      tone: 'fail',
      act: 'here',
    });
    expect(
      said({ phase: 'signaling', linked: false, dialAt: 4200, dialsFailed: 4 }).detail,
    ).toContain('5 s');
  });

  test('shows a way on from every end', () => {
    for (const end of ['unpaired', 'rejected', 'revoked', 'impostor', 'forbidden'] as const) {
      expect(said({ phase: 'closed', end })).toMatchObject({ tone: 'fail', act: 'scan' });
    }
  });

  test('is never green unless pictures flow', () => {
    for (const phase of ['signaling', 'auth', 'ready', 'offering', 'degraded', 'paused'] as const) {
      expect(said({ phase }).tone).not.toBe('live');
    }
  });
});

test('every word has its Korean', () => {
  const shape = (value: unknown): unknown => {
    if (typeof value === 'function') return `(${value.length})`;
    if (typeof value === 'string') return value.trim() === '' ? 'empty' : 'text';
    return Object.fromEntries(
      Object.entries(value as object).map(([key, inner]) => [key, shape(inner)]),
    );
  };
  expect(shape(ko)).toEqual(shape(en));
});

describe('heat and an empty battery', () => {
  test('cost pictures first and size second', () => {
    const full = shapeOf('high', 0);
    const fewer = shapeOf('high', 1);
    const least = shapeOf('high', 2);
    expect(fewer).toMatchObject({ width: full.width, height: full.height });
    expect(fewer.fps).toBeLessThan(full.fps);
    expect(least.width).toBeLessThan(full.width);
    expect(least.bitrate).toBeLessThan(fewer.bitrate);
  });

  test('are acted upon after ten seconds, and taken back after a minute', () => {
    const thrift = new Thrift();
    for (let i = 0; i < 9; i += 1) expect(thrift.take(1000, true)).toBe(0);
    expect(thrift.take(1000, true)).toBe(1);
    for (let i = 0; i < 59; i += 1) expect(thrift.take(1000, false)).toBe(1);
    expect(thrift.take(1000, false)).toBe(0);
    expect(Thrift.low(10, false)).toBe(true);
    expect(Thrift.low(10, true)).toBe(false);
    expect(Thrift.low(null, false)).toBe(false);
  });
});
