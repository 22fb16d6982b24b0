// What every script needs to know of this machine: where things lie, what is installed,
// and how to run a program and show its output. Knows nothing of what is being built.

import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  createWriteStream,
  existsSync,
  mkdirSync,
  readFileSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
export const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'nightjar');
const exe = process.platform === 'win32' ? '.exe' : '';

/** The environment of every child: rustup's cargo reachable, one Cargo target for all checkouts. */
export const env = {
  ...process.env,
  PATH: [
    process.env.PATH,
    join(process.env.CARGO_HOME || join(homedir(), '.cargo'), 'bin'),
    '/usr/sbin',
    '/sbin',
  ].join(delimiter),
  CARGO_TARGET_DIR: process.env.CARGO_TARGET_DIR || join(cache, 'target'),
  // Incremental files cost gigabytes and win nothing where every run is a fresh checkout.
  ...(process.stdout.isTTY ? {} : { NO_COLOR: '1', CARGO_TERM_COLOR: 'never' }),
  ...(process.env.CI ? { CARGO_INCREMENTAL: '0' } : {}),
};

export const bold = (text) => (process.stdout.isTTY ? `\x1b[1m${text}\x1b[0m` : text);

export function say(text) {
  process.stdout.write(`${text}\n`);
}

export function die(text, code = 1) {
  process.stderr.write(`\n${text}\n`);
  process.exit(code);
}

/** The path of a program, or null. */
export function which(program) {
  for (const folder of env.PATH.split(delimiter)) {
    const path = join(folder, program + exe);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // not in this folder
    }
  }
  return null;
}

/** Runs a program silently: its output, or null when it failed or is not there. */
export function ask(program, args) {
  const done = spawnSync(which(program) ?? program, args, { cwd: root, env, encoding: 'utf8' });
  return done.status === 0 ? done.stdout.trim() : null;
}

/** npm without relying on a shell: the npm that runs this script, else the one on the path. */
export function npm(...args) {
  const cli = process.env.npm_execpath;
  if (cli && /\.c?js$/.test(cli)) return [process.execPath, [cli, ...args]];
  return [process.platform === 'win32' ? 'npm.cmd' : 'npm', args];
}

/**
 * Runs a program with its output shown; `onLine` sees every line without colours, `log` keeps
 * them in a file. Resolves to its exit code (signals count as 1); never rejects.
 */
export function run(program, args, { cwd = root, extra = {}, onLine, log, input = 'ignore' } = {}) {
  return new Promise((resolve) => {
    const piped = Boolean(onLine || log);
    const child = spawn(which(program) ?? program, args, {
      cwd,
      env: { ...env, ...extra },
      stdio: [input, piped ? 'pipe' : 'inherit', piped ? 'pipe' : 'inherit'],
      shell: process.platform === 'win32' && program.endsWith('.cmd'),
    });
    if (log) mkdirSync(dirname(log), { recursive: true });
    const file = log ? createWriteStream(log) : null;
    const follow = (stream, out) => {
      let rest = '';
      stream.setEncoding('utf8');
      stream.on('data', (text) => {
        out.write(text);
        file?.write(text);
        const lines = (rest + text).split('\n');
        rest = lines.pop();
        // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are control characters
        for (const line of lines) onLine?.(line.replace(/\x1b\[[0-9;]*m/g, ''));
      });
      stream.on('end', () => rest && onLine?.(rest));
    };
    if (piped) {
      follow(child.stdout, process.stdout);
      follow(child.stderr, process.stderr);
    }
    const forward = (signal) => child.kill(signal);
    process.on('SIGINT', forward);
    process.on('SIGTERM', forward);
    const end = (code) => {
      process.off('SIGINT', forward);
      process.off('SIGTERM', forward);
      if (file) file.end(() => resolve(code));
      else resolve(code);
    };
    child.on('error', (error) => {
      process.stderr.write(`${program}: ${error.message}\n`);
      end(127);
    });
    // `exit`, not `close`: a grandchild that keeps the pipe must not hold the run up for ever.
    child.on('exit', (code) => setTimeout(() => end(code ?? 1), piped ? 50 : 0));
  });
}

/**
 * The Cargo target of this checkout, to be called before the first build. Checkouts share one, so
 * that a fresh one need not build the dependencies again. But Cargo tells the sources of two
 * checkouts apart by their times alone: after another checkout's build, all times here are set to
 * now; while another one is building, this one takes a target of its own.
 */
export function claimTarget() {
  const claim = join(env.CARGO_TARGET_DIR, 'nightjar-claim.json');
  const last = readJson(claim) ?? {};
  if (last.root !== root) {
    if (last.pid && alive(last.pid)) {
      const own = createHash('sha256').update(root).digest('hex').slice(0, 12);
      env.CARGO_TARGET_DIR = join(cache, `target-${own}`);
      say(`${last.root} is building: this checkout builds in ${env.CARGO_TARGET_DIR}`);
      return claimTarget();
    }
    const now = new Date();
    const files = (ask('git', ['ls-files', '-z']) ?? '').split('\0').filter(Boolean);
    for (const file of [...files, 'src-ui/dist/index.html', 'mobile/web/dist/index.html']) {
      const path = join(root, file);
      if (existsSync(path)) utimesSync(path, now, now);
    }
  }
  mkdirSync(env.CARGO_TARGET_DIR, { recursive: true });
  writeFileSync(claim, JSON.stringify({ root, pid: process.pid }));
  return env.CARGO_TARGET_DIR;
}

function alive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** A window can be opened here. */
export function hasDisplay() {
  if (process.platform !== 'linux') return true;
  return Boolean(process.env.DISPLAY || process.env.WAYLAND_DISPLAY);
}

export function readText(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

/** Null where there is none, or half a one: a program that was killed may have been writing it. */
function readJson(path) {
  try {
    return JSON.parse(readText(path));
  } catch {
    return null;
  }
}

/** "75 s", "12 min 5 s" */
export function span(milliseconds) {
  const seconds = milliseconds / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}
