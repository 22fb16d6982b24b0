/** The words in the chosen language, reactive. No string stands anywhere else. */
import { type Language, languageOf } from './choose';
import { en, type Messages } from './en';
import { ko } from './ko';

export type { Language, Messages };

export const catalogues: Readonly<Record<Language, Messages>> = { en, ko };
export const languageNames: Readonly<Record<Language, string>> = { en: 'English', ko: '한국어' };

export function systemLanguage(): Language {
  return languageOf(navigator.languages);
}

let language = $state<Language>('en');

export const i18n = {
  get language(): Language {
    return language;
  },
  set language(value: Language) {
    language = value;
    document.documentElement.lang = value;
  },
  get m(): Messages {
    return catalogues[language];
  },
};
