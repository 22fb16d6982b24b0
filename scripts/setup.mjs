// Sets a machine up: system packages, Rust, npm packages, the WebDriver of the desktop tests.
// Idempotent, and quick when nothing is missing.
//
//   node scripts/setup.mjs [server|desktop|test]     (default: test)

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ask, bold, cache, die, npm, readText, root, run, say, which } from './machine.mjs';

// Debian and Ubuntu. A list inside the list: the first name this release knows is taken.
// A name with `?` may be missing from a release; it is then named, and its tests say so.
const packages = {
  server: ['build-essential', 'pkg-config', 'cmake', 'nasm'],
  desktop: [
    'libwebkit2gtk-4.1-dev',
    'libayatana-appindicator3-dev',
    'librsvg2-dev',
    // Without these the web view has no H.264, H.265 or AAC.
    'gstreamer1.0-plugins-base',
    'gstreamer1.0-plugins-good',
    'gstreamer1.0-plugins-bad',
    'gstreamer1.0-libav',
    'gstreamer1.0-gl',
    // And without one of these it has no sound.
    'gstreamer1.0-pulseaudio',
    'gstreamer1.0-alsa',
    'fonts-dejavu-core',
    'fonts-nanum',
  ],
  test: [
    'webkit2gtk-driver',
    'xvfb',
    'xauth',
    'dbus',
    'dbus-x11',
    'imagemagick',
    ['chromium?', 'chromium-browser?'],
    ['chromium-driver?', 'chromium-chromedriver?'],
    'gstreamer1.0-plugins-ugly',
    'gstreamer1.0-tools',
    'gir1.2-gst-rtsp-server-1.0',
    'gir1.2-gstreamer-1.0',
    'python3-gi',
    'python3-venv',
    'ffmpeg',
    'nftables',
    'iproute2',
    'coturn?',
  ],
};
const levels = ['server', 'desktop', 'test'];
const wanted = (level) =>
  levels.slice(0, levels.indexOf(level) + 1).flatMap((name) => packages[name]);

const driverVersion = '2.1.0';
const driverRoot = join(cache, 'tools', `tauri-driver-${driverVersion}`);
/** Where the set-up puts tauri-driver; the desktop tests are told by `TAURI_DRIVER`. */
export const tauriDriver = join(
  driverRoot,
  'bin',
  process.platform === 'win32' ? 'tauri-driver.exe' : 'tauri-driver',
);

// A stock WebRTC client that shares no code with Nightjar.
const aiortcVersion = '1.16.0';
const aiortcRoot = join(cache, 'tools', `aiortc-${aiortcVersion}`);
/** Where the set-up puts Python with aiortc; its tests are told by `NIGHTJAR_AIORTC`. */
export const aiortc = join(aiortcRoot, 'bin', 'python3');

/** Sets the machine up for a level; returns what it lacks, in words. Ends the process when stuck. */
export async function setUp(level) {
  const lacking = [];
  const [major, minor] = process.versions.node.split('.').map(Number);
  // What builds the pages asks for these.
  const old = { 20: minor < 19, 21: true, 22: minor < 12 };
  if (major < 20 || old[major]) {
    die(`Node ${process.versions.node} is too old: Nightjar needs Node 20.19, 22.12 or newer.`);
  }
  if (process.platform === 'linux') await systemPackages(level, lacking);
  else nameForeignNeeds(level, lacking);
  await rust(level);
  await npmPackages();
  if (level === 'test' && process.platform !== 'darwin') await webDriver();
  if (level === 'test' && process.platform === 'linux') await stockClient();
  return lacking;
}

function nameForeignNeeds(level, lacking) {
  if (process.platform === 'darwin' && ask('xcode-select', ['-p']) === null) {
    die('Xcode’s command-line tools are missing. Install them with:\n  xcode-select --install');
  }
  if (process.platform === 'win32' && !which('cl')) {
    say(
      'If linking fails: install “Desktop development with C++” of the Visual Studio Build Tools\n' +
        '(https://visualstudio.microsoft.com/visual-cpp-build-tools/). WebView2 is part of Windows 11.',
    );
  }
  if (!which('cmake')) {
    const how =
      process.platform === 'darwin' ? 'brew install cmake' : 'winget install Kitware.CMake';
    die(`CMake is missing: the encoder for sound is built with it. Install it with:\n  ${how}`);
  }
  if (level === 'test') {
    lacking.push('GStreamer’s RTSP server, Xvfb and network namespaces (Linux only)');
  }
}

async function systemPackages(level, lacking) {
  const list = wanted(level);
  if (!which('dpkg-query') || !which('apt-get')) {
    say(`This is not Debian or Ubuntu. What Nightjar needs, by Debian’s names:`);
    say(`  ${list.flat().join(' ').replaceAll('?', '')}`);
    lacking.push('system packages were not checked: neither dpkg nor apt is here');
    return;
  }
  let missing = absent(list);
  if (missing.length === 0) return;

  const [program, prefix] =
    process.getuid() === 0
      ? ['apt-get', []]
      : ask('sudo', ['-n', 'true']) !== null
        ? ['sudo', ['-n', 'DEBIAN_FRONTEND=noninteractive', 'apt-get']]
        : [null, []];
  if (!program) {
    const names = missing.map((entry) => first(entry)).join(' ');
    die(
      `System packages are missing. Install them, then run this again:\n\n` +
        `  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${names}\n`,
    );
  }
  const apt = async (...args) => {
    const extra = { DEBIAN_FRONTEND: 'noninteractive' };
    // A fresh machine often still runs its own apt: wait for the lock rather than fail.
    const wait = ['-o', 'DPkg::Lock::Timeout=300'];
    return run(program, [...prefix, ...wait, ...args], { extra });
  };
  say(bold(`Installing ${missing.length} system packages`));
  if ((await apt('update', '-q')) !== 0) die('apt-get update failed; its message is above.');
  missing = missing.filter((entry) => {
    const known = alternatives(entry).some(available);
    if (!known && optional(entry)) {
      lacking.push(`${first(entry)}: this release has no such package`);
    }
    return known || !optional(entry);
  });
  const names = missing.map((entry) => alternatives(entry).find(available) ?? first(entry));
  if (names.length === 0) return;
  if ((await apt('install', '-y', '-q', '--no-install-recommends', ...names)) !== 0) {
    die(`apt-get could not install: ${names.join(' ')}`);
  }
}

const alternatives = (entry) => [entry].flat().map((name) => name.replace('?', ''));
const first = (entry) => alternatives(entry)[0];
const optional = (entry) => [entry].flat().every((name) => name.endsWith('?'));
const available = (name) =>
  /Candidate: (?!\(none\))/.test(ask('apt-cache', ['policy', name]) ?? '');

/** The entries of which no alternative is installed. */
function absent(list) {
  const names = list.flatMap(alternatives);
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own placeholders
  const format = '-f=${Package} ${db:Status-Status}\n';
  // dpkg-query fails as soon as one name is unknown, yet prints the others.
  const here = new Set();
  for (const line of (
    ask('sh', ['-c', 'dpkg-query -W "$@" 2>/dev/null; :', 'sh', format, ...names]) ?? ''
  ).split('\n')) {
    const [name, status] = line.split(' ');
    if (status === 'installed') here.add(name);
  }
  return list.filter((entry) => !alternatives(entry).some((name) => here.has(name)));
}

async function rust(level) {
  const found = /cargo (\d+)\.(\d+)/.exec(ask('cargo', ['--version']) ?? '');
  const install =
    process.platform === 'win32'
      ? 'install it from https://rustup.rs'
      : "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y";
  if (!found)
    die(
      `Rust is missing (cargo is not on the path). Install it, then run this again:\n\n  ${install}\n`,
    );
  if (Number(found[1]) === 1 && Number(found[2]) < 90) {
    die(
      `Rust ${found[1]}.${found[2]} is too old: Nightjar needs 1.90 or newer. Update it:\n\n  rustup update stable\n`,
    );
  }
  if (level !== 'test') return;
  for (const [component, command] of [
    ['clippy', 'clippy'],
    ['rustfmt', 'fmt'],
  ]) {
    if (ask('cargo', [command, '--version']) !== null) continue;
    say(bold(`Adding ${component} to the Rust toolchain`));
    if ((await run('rustup', ['component', 'add', component])) !== 0) {
      die(`${component} is missing and rustup could not add it: rustup component add ${component}`);
    }
  }
}

async function npmPackages() {
  const lock = readText(join(root, 'package-lock.json'));
  if (lock === null) die('package-lock.json is missing from this checkout.');
  const stamp = join(root, 'node_modules', '.nightjar-lock');
  const print = createHash('sha256').update(lock).digest('hex');
  if (readText(stamp) === print) return;
  say(bold('Installing npm packages'));
  if ((await run(...npm('ci', '--no-fund', '--no-audit'))) !== 0) {
    die('npm ci failed; its message is above.');
  }
  mkdirSync(join(root, 'node_modules'), { recursive: true });
  writeFileSync(stamp, print);
}

async function webDriver() {
  if (existsSync(tauriDriver)) return;
  say(bold(`Building tauri-driver ${driverVersion} (once)`));
  const args = [
    'install',
    'tauri-driver',
    '--version',
    driverVersion,
    '--locked',
    '--root',
    driverRoot,
  ];
  if ((await run('cargo', args)) !== 0)
    die('tauri-driver could not be built; the message is above.');
}

async function stockClient() {
  const stamp = join(aiortcRoot, '.nightjar');
  if (existsSync(stamp)) return;
  say(bold(`Installing aiortc ${aiortcVersion} (once)`));
  const pip = ['-m', 'pip', 'install', '-q', '--disable-pip-version-check'];
  const wanted = [`aiortc==${aiortcVersion}`, 'aiohttp==3.14.5'];
  if (
    (await run('python3', ['-m', 'venv', aiortcRoot])) !== 0 ||
    (await run(aiortc, [...pip, ...wanted])) !== 0
  ) {
    die('aiortc could not be installed; the message is above.');
  }
  writeFileSync(stamp, aiortcVersion);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const level = process.argv[2] ?? 'test';
  if (!levels.includes(level)) die(`usage: node scripts/setup.mjs [${levels.join('|')}]`, 2);
  for (const lack of await setUp(level)) say(`lacking: ${lack}`);
  say('This machine is set up.');
}
