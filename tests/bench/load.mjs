// What a process costs, from /proc (Linux).

import { readdirSync, readFileSync } from 'node:fs';

/** Nanoseconds on a processor since its start: all threads that live, exact where `stat` has ticks. */
export function cpuNs(pid) {
  let sum = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    try {
      sum += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]);
    } catch {
      // A thread that has just ended.
    }
  }
  return sum;
}

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
  let [at, cpu, mark] = [performance.now(), cpuNs(pid), await each()];
  for (let i = 0; i < count; i++) {
    await pause(ms);
    const [nowAt, nowCpu, nowMark] = [performance.now(), cpuNs(pid), await each()];
    out.push({
      seconds: (nowAt - at) / 1000,
      cpuNs: nowCpu - cpu,
      rssKib: rssKib(pid),
      before: mark,
      after: nowMark,
    });
    [at, cpu, mark] = [nowAt, nowCpu, nowMark];
  }
  return out;
}
