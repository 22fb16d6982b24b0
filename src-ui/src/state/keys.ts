/** Keys as commands understand them, whatever the keyboard writes. Pure. */

type Key = Pick<KeyboardEvent, 'key' | 'code' | 'shiftKey'>;

const SIGNS: Readonly<Record<string, string>> = {
  Comma: ',',
  Period: '.',
  Slash: '/',
  Minus: '-',
  Equal: '=',
};

/**
 * The key's name or sign; where the keyboard writes another alphabet (ㄹ, а) or is in the middle of a syllable, what
 * stands on the same key of a Latin one.
 */
export function keyOf({ key, code, shiftKey }: Key): string {
  const foreign = key === 'Process' || key === 'Unidentified' || /^[^ -~]$/u.test(key);
  if (!foreign) return key;
  const letter = /^(?:Key|Digit)([A-Z0-9])$/.exec(code)?.[1];
  if (letter !== undefined) return shiftKey ? letter : letter.toLowerCase();
  if (shiftKey && code === 'Slash') return '?';
  return SIGNS[code] ?? key;
}
