/** Short words that pass: what just worked, or did not. At most three at a time. */

export interface Notice {
  id: number;
  text: string;
  tone: 'plain' | 'fail';
}

const SHOWN_MS = 4500;
let next = 1;
let list = $state<Notice[]>([]);
/** Open dialogs, the uppermost last: what lies under one can be neither read nor heard. */
let dialogs = $state.raw<readonly symbol[]>([]);

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
  /** The dialog that shows them; none where the page does. */
  get stage(): symbol | null {
    return dialogs.at(-1) ?? null;
  },
  /** A dialog shows them from now on, until what this gives is called. */
  enter(dialog: symbol): () => void {
    dialogs = [...dialogs, dialog];
    return () => {
      dialogs = dialogs.filter((one) => one !== dialog);
    };
  },
};
