import { expect, test } from 'vitest';
import tray from '../../src-tauri/src/view.rs?raw';
import { languageOf } from '../src/i18n/choose';
import { en } from '../src/i18n/en';
import { ko } from '../src/i18n/ko';

type Leaf = [path: string, value: unknown];
function leaves(value: unknown, path = ''): Leaf[] {
  if (typeof value !== 'object' || value === null) return [[path, value]];
  return Object.entries(value).flatMap(([key, inner]) =>
    leaves(inner, path === '' ? key : `${path}.${key}`),
  );
}

test('every message stands in every language, in the same form', () => {
  const english = new Map(leaves(en));
  const korean = new Map(leaves(ko));
  expect([...korean.keys()].sort()).toEqual([...english.keys()].sort());
  for (const [path, value] of english) {
    const other = korean.get(path);
    expect(typeof other, path).toBe(typeof value);
    const words = typeof other === 'function' ? String(other(2, 3)) : String(other);
    expect(words.trim(), path).not.toBe('');
  }
});

test('the first language that there are words in decides', () => {
  expect(languageOf(['en-US', 'ko-KR'])).toBe('en');
  expect(languageOf(['fr-FR', 'KO', 'en'])).toBe('ko');
  expect(languageOf(['kok-IN', 'fr'])).toBe('en');
  expect(languageOf([])).toBe('en');
});

/** Names, units and signs that are the same in Korean. */
const SAME =
  /^(app\.name|login\.title|transport\.(webrtc|mse)|units\.fps|stats\.(kbps|mbps|ms|none)|exports\.span|timeline\.gap|tile\.label|wall\.changed|cameras\.what)$/;

test('Korean is Korean', () => {
  for (const [path, value] of leaves(ko)) {
    if (SAME.test(path)) continue;
    const words = typeof value === 'function' ? String(value(2, 3)) : String(value);
    expect(/\p{Script=Hangul}/u.test(words), path).toBe(true);
  }
});

test('no component carries words of its own', () => {
  const sources = import.meta.glob<string>('../src/**/*.svelte', {
    query: '?raw',
    import: 'default',
    eager: true,
  });
  expect(Object.keys(sources).length).toBeGreaterThan(10);
  for (const [file, source] of Object.entries(sources)) {
    const markup = source
      .replace(/<script[\s\S]*?<\/script>/g, '')
      .replace(/<style[\s\S]*?<\/style>/g, '')
      .replace(/<!--[\s\S]*?-->/g, '')
      .replace(/\{[^{}]*(\{[^{}]*(\{[^{}]*\}[^{}]*)*\}[^{}]*)*\}/g, '');
    const texts = [...markup.matchAll(/>([^<>]*)</g)].map((match) => match[1]?.trim() ?? '');
    const spoken = [...markup.matchAll(/\s(?:aria-label|title|alt|placeholder)="([^"]+)"/g)].map(
      (match) => match[1] ?? '',
    );
    const words = [...texts, ...spoken].filter(
      (text) => /\p{L}{2}/u.test(text) && text !== 'rtsp://',
    );
    expect(words, file).toEqual([]);
  }
});

test('the tray says of a camera what the wall says', () => {
  const lines = [...tray.matchAll(/StateName::(\w+) => \("(.+?)", "(.+?)"\)/g)];
  const told = (language: 2 | 3) =>
    Object.fromEntries(
      lines.map((line) => [line[1]?.toLowerCase(), line[language]?.toLowerCase()]),
    );
  const shown = (words: Record<string, string>) =>
    Object.fromEntries(Object.entries(words).map(([name, text]) => [name, text.toLowerCase()]));
  expect(told(2)).toEqual(shown(en.state));
  expect(told(3)).toEqual(shown(ko.state));
});
