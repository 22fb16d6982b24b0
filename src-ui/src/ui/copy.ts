/** Copying a text. Where the wall comes over plain HTTP, browsers have no clipboard to write to. */
import { i18n } from '../i18n/index.svelte';
import { notices } from '../state/notices.svelte';

/** Whether it was copied; where not, that is said. */
export async function copy(text: string): Promise<boolean> {
  const done = await navigator.clipboard?.writeText(text).then(
    () => true,
    () => false,
  );
  if (done || copySelected(text)) return true;
  notices.say(i18n.m.common.notCopied, 'fail');
  return false;
}

/** The way before clipboards: what is selected is copied. */
function copySelected(text: string): boolean {
  const before = document.activeElement;
  const field = document.createElement('textarea');
  field.value = text;
  field.readOnly = true;
  field.style.cssText = 'position:fixed;top:0;opacity:0';
  // Outside an open dialog nothing can be selected.
  (before?.closest('dialog') ?? document.body).append(field);
  field.select();
  try {
    return document.execCommand('copy');
  } catch {
    return false;
  } finally {
    field.remove();
    if (before instanceof HTMLElement) before.focus();
  }
}
