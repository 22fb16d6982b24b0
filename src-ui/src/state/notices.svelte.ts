/** Short words that pass: what just worked, or did not. At most three at a time. */

export interface Notice {
  id: number;
  text: string;
  tone: 'plain' | 'fail';
}

const SHOWN_MS = 4500;
let next = 1;
let list = $state<Notice[]>([]);

export const notices = {
  get list(): readonly Notice[] {
    return list;
  },
  say(text: string, tone: Notice['tone'] = 'plain'): void {
    const id = next;
    next += 1;
    list = [...list.slice(-2), { id, text, tone }];
    setTimeout(() => this.drop(id), SHOWN_MS);
  },
  drop(id: number): void {
    list = list.filter((notice) => notice.id !== id);
  },
};
