/** Which language the words are in. Pure. */

export type Language = 'en' | 'ko';

/** The first of the languages that somebody reads, best first, in which there are words; else English. */
export function languageOf(tags: readonly string[]): Language {
  for (const tag of tags) {
    const name = tag.toLowerCase().split('-')[0];
    if (name === 'en' || name === 'ko') return name;
  }
  return 'en';
}
