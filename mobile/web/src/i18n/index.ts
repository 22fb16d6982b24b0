/** The words in the language of the phone. */
import { languageOf } from '$wall/i18n/choose';
import { en, type Words } from './en';
import { ko } from './ko';

export type { Words };

export const language = languageOf(navigator.languages);
export const words: Words = language === 'ko' ? ko : en;
