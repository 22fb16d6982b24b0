/**
 * What the phone remembers: its key and the computers that know it. In IndexedDB, because a key that
 * cannot be exported is kept nowhere else. Browsers may forget it all after weeks without use: then
 * the phone is paired again, and nothing worse happens.
 */

/** A computer that let this phone in. */
export interface Paired {
  /** Hash of the computer's key. */
  relay: string;
  device: string;
  /** What the computer is called. */
  name: string;
  /** Where it was found: `https://192.168.1.20:8443`. */
  origin: string;
  /** When it was used last, ms since 1970. */
  used: number;
}

export interface Keep {
  key(): Promise<CryptoKeyPair>;
  computers(): Promise<Paired[]>;
  remember(paired: Paired): Promise<void>;
  forget(relay: string): Promise<void>;
}

const NAME = 'nightjar';

/** `make` is called once in the life of this store. */
export function openKeep(make: () => Promise<CryptoKeyPair>): Keep {
  const opened = new Promise<IDBDatabase>((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore('keys');
      request.result.createObjectStore('computers', { keyPath: 'relay' });
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  // Nobody may have asked yet when it fails.
  opened.catch(() => {});
  let key: Promise<CryptoKeyPair> | null = null;

  async function run<T>(
    store: 'keys' | 'computers',
    mode: IDBTransactionMode,
    act: (store: IDBObjectStore) => IDBRequest<T>,
  ): Promise<T> {
    const db = await opened;
    return new Promise((resolve, reject) => {
      const transaction = db.transaction(store, mode);
      const request = act(transaction.objectStore(store));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
    });
  }

  async function findKey(): Promise<CryptoKeyPair> {
    const known = await run<CryptoKeyPair | undefined>('keys', 'readonly', (s) => s.get('own'));
    if (known) return known;
    const fresh = await make();
    await run('keys', 'readwrite', (s) => s.put(fresh, 'own'));
    return fresh;
  }

  return {
    key: () => {
      key ??= findKey();
      return key;
    },
    async computers() {
      const all = await run<Paired[]>('computers', 'readonly', (s) => s.getAll());
      return all.sort((a, b) => b.used - a.used);
    },
    async remember(paired) {
      await run('computers', 'readwrite', (s) => s.put(paired));
    },
    async forget(relay) {
      await run('computers', 'readwrite', (s) => s.delete(relay));
    },
  };
}
