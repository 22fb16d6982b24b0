import { expect, test } from 'vitest';
import { keyOf } from '../src/state/keys';

const pressed = (key: string, code: string, shiftKey = false) => keyOf({ key, code, shiftKey });

test('keys mean the same on a Korean and a Cyrillic keyboard', () => {
  expect(pressed('ㄹ', 'KeyF')).toBe('f');
  expect(pressed('Process', 'KeyI', true)).toBe('I');
  expect(pressed('ㅃ', 'KeyQ', true)).toBe('Q');
  expect(pressed('б', 'Comma')).toBe(',');
  expect(pressed('ю', 'Period')).toBe('.');
});

test('what the keyboard writes in Latin signs counts as written, wherever the key stands', () => {
  expect(pressed('a', 'KeyQ')).toBe('a');
  expect(pressed('?', 'Minus', true)).toBe('?');
  expect(pressed('ArrowLeft', 'ArrowLeft')).toBe('ArrowLeft');
  expect(pressed(' ', 'Space')).toBe(' ');
  expect(pressed('é', 'Digit2')).toBe('2');
});
