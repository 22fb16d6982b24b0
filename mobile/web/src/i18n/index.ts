/** The words in the language of the phone. */
import { en, type Words } from './en';
import { ko } from './ko';

export type { Words };

const korean = navigator.languages.some((tag) => tag.toLowerCase().startsWith('ko'));
export const words: Words = korean ? ko : en;
export const language = korean ? 'ko' : 'en';
