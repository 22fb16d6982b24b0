// What is seen from outside: every change of state by the events socket, and a viewer by MSE on
// each camera.

import { now, pause } from './network.mjs';

/** One viewer: when fragments came, and whether its socket held. */
class Viewer {
  fragments = [];
  closes = [];

  constructor(server, id) {
    this.server = server;
    this.id = id;
    this.#dial();
  }

  #dial() {
    this.socket = this.server.socket(`/api/v1/cameras/${this.id}/live`);
    this.socket.binaryType = 'arraybuffer';
    this.socket.onmessage = ({ data }) => {
      if (typeof data !== 'string') this.fragments.push(now());
    };
    this.socket.onclose = () => {
      if (this.done) return;
      this.closes.push(now());
      setTimeout(() => this.#dial(), 300);
    };
  }

  /** The first fragment after a moment, or null. */
  after = (from) => this.fragments.find((at) => at > from) ?? null;

  closedSince = (from) => this.closes.filter((at) => at > from).length;

  /** The longest time without a fragment between two moments. */
  longestGap(from, until) {
    const seen = [from, ...this.fragments.filter((at) => at > from && at < until), until];
    return Math.max(...seen.slice(1).map((at, i) => at - seen[i]));
  }

  end() {
    this.done = true;
    this.socket.close();
  }
}

/** All that happens to all cameras of one server. */
export class Witness {
  /** Of each camera: its states with the moment in which they were told. */
  states = new Map();
  viewers = new Map();
  alerts = [];
  missing = 0;

  constructor(server) {
    this.server = server;
    this.#listen();
  }

  #listen() {
    let seq = -1;
    this.socket = this.server.socket('/api/v1/events');
    this.socket.onmessage = ({ data }) => {
      const at = now();
      const event = JSON.parse(data);
      if (event.seq !== seq + 1) this.missing += 1;
      seq = event.seq;
      if (event.type === 'snapshot') for (const camera of event.cameras) this.#note(camera, at);
      if (event.type === 'camera') this.#note(event.camera, at);
      if (event.type === 'alert') this.alerts.push({ at, alert: event.alert });
    };
    this.socket.onclose = () => {
      if (!this.done) setTimeout(() => this.#listen(), 300);
    };
  }

  #note(camera, at) {
    const states = this.states.get(camera.id) ?? [];
    this.states.set(camera.id, states);
    const { name, cause = null, attempt = null } = camera.state;
    const warnings = (camera.warnings ?? []).map((warning) => warning.code);
    const entry = { at, name, attempt, cause, warnings, camera };
    states.push(entry);
    if (states.length > 4_000) states.shift();
  }

  watch(id) {
    this.viewers.set(id, new Viewer(this.server, id));
  }

  latest(id) {
    return this.states.get(id)?.at(-1) ?? null;
  }

  /** The first report of a camera after a moment that satisfies the condition. */
  first(id, from, condition) {
    return (this.states.get(id) ?? []).find((entry) => entry.at > from && condition(entry)) ?? null;
  }

  /** Changes of the state's name after a moment, beginning with the state before it. */
  changes(id, from) {
    const out = [];
    let name = null;
    for (const entry of this.states.get(id) ?? []) {
      if (entry.at > from && entry.name !== name) out.push(entry);
      name = entry.name;
    }
    return out;
  }

  /** The same with every try and its cause, in words. */
  story(id, from) {
    const out = [];
    let before = null;
    for (const { at, name, attempt, cause } of this.states.get(id) ?? []) {
      const words = [name, attempt, cause && `(${cause.code})`].filter(Boolean).join(' ');
      if (at > from && words !== before) out.push(`${((at - from) / 1000).toFixed(2)} ${words}`);
      before = words;
    }
    return out;
  }

  /** Waits for a report after `from`; null when it does not come in time. */
  async until(id, from, condition, patience) {
    const end = now() + patience;
    for (;;) {
      const found = this.first(id, from, condition);
      if (found) return found;
      if (now() > end) return null;
      await pause(5);
    }
  }

  async live(ids, patience = 60_000) {
    const end = now() + patience;
    while (!ids.every((id) => this.latest(id)?.name === 'live')) {
      if (now() > end) {
        const states = ids.map((id) => `${id} ${this.latest(id)?.name}`);
        throw new Error(`not live: ${states.join(', ')}`);
      }
      await pause(50);
    }
  }

  end() {
    this.done = true;
    this.socket.close();
    for (const viewer of this.viewers.values()) viewer.end();
  }
}
