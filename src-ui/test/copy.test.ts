import { afterEach, expect, test, vi } from 'vitest';
import { notices } from '../src/state/notices.svelte';
import { copy } from '../src/ui/copy';

afterEach(() => {
  vi.unstubAllGlobals();
  document.body.replaceChildren();
});

/** A page without a clipboard; what is selected when the old way is asked for, and where. */
function plain(works: boolean) {
  const copied: { text: string; within: string | undefined }[] = [];
  vi.stubGlobal('navigator', { languages: ['en'] });
  document.execCommand = () => {
    const field = document.querySelector('textarea');
    const { value = '', selectionStart = 0, selectionEnd = 0 } = field ?? {};
    const text = value.slice(selectionStart, selectionEnd);
    copied.push({ text, within: field?.parentElement?.localName });
    return works;
  };
  return copied;
}

test('over plain HTTP a text is copied the old way, also out of a dialog', async () => {
  const copied = plain(true);
  document.body.innerHTML = '<dialog open><button>Copy</button></dialog>';
  expect(await copy('https://one')).toBe(true);
  document.querySelector('button')?.focus();
  expect(await copy('two')).toBe(true);
  expect(copied).toEqual([
    { text: 'https://one', within: 'body' },
    { text: 'two', within: 'dialog' },
  ]);
  expect(document.querySelector('textarea')).toBe(null);
  expect(document.activeElement).toBe(document.querySelector('button'));
});

test('what cannot be copied is said', async () => {
  plain(false);
  const before = notices.list.length;
  expect(await copy('three')).toBe(false);
  expect(notices.list.length).toBe(before + 1);
});
