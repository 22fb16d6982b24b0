// What a process costs, from /proc (Linux).

import { readdirSync, readFileSync } from 'node:fs';

/** Nanoseconds that each thread of a process was on a processor: exact, where `stat` has ticks. */
function threads(pid) {
  const seen = new Map();
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    try {
      const [ns] = readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ');
      seen.set(task, Number(ns));
    } catch {
      // A thread that has just ended.
    }
  }
  return seen;
}

const sum = (values) => [...values].reduce((total, value) => total + value, 0);

/** Nanoseconds on a processor since its start, of all threads that live. */
export const cpuNs = (pid) => sum(threads(pid).values());

/** From one look to the next. A thread that ended takes what it did since the first along, and no more. */
const between = (before, after) =>
  sum([...after].map(([task, ns]) => ns - (before.get(task) ?? 0)));

/** Resident memory, KiB. */
export function rssKib(pid) {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);
}

export function openFiles(pid) {
  return readdirSync(`/proc/${pid}/fd`).length;
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** `count` windows of `ms`: how long each really was, and the processor time the process took in it. */
export async function windows(pid, count, ms, each = async () => null) {
  const out = [];
  let [at, cpu, mark] = [performance.now(), threads(pid), await each()];
  for (let i = 0; i < count; i++) {
    await pause(ms);
    const [nowAt, nowCpu, nowMark] = [performance.now(), threads(pid), await each()];
    out.push({
      seconds: (nowAt - at) / 1000,
      cpuNs: between(cpu, nowCpu),
      rssKib: rssKib(pid),
      before: mark,
      after: nowMark,
    });
    [at, cpu, mark] = [nowAt, nowCpu, nowMark];
  }
  return out;
}
