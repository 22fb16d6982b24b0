import { expect, test } from 'vitest';
import type { Camera } from '../src/platform/types';
import { streamForm, streamPatch, streamSpec } from '../src/state/streaming';

const camera = (own: Partial<Camera>) => own as Camera;

test('R-K5 a camera says nothing of what is as for all, and takes back what it said', () => {
  const usual = streamForm(null);
  expect(streamSpec(usual)).toEqual({});
  expect(streamForm(camera({}))).toEqual(usual);
  const form = { ...usual, patience: 2.5, again: 'no' as const, attempts: 0 };
  const told = { tcp_timeout: 2500, auto_reconnect: false, max_reconnect_attempts: 0 };
  expect(streamSpec(form)).toEqual(told);
  expect(streamForm(camera(told))).toEqual(form);
  expect(streamPatch(form, usual)).toEqual(told);
  expect(streamPatch({ ...form, keepAlive: 3 }, form)).toEqual({ keepalive_timeout: 3 });
  const emptied = { ...form, patience: undefined as unknown as null };
  expect(streamPatch(emptied, form)).toEqual({ tcp_timeout: null });
  expect(streamPatch(usual, form)).toEqual({
    tcp_timeout: null,
    auto_reconnect: null,
    max_reconnect_attempts: null,
  });
});
