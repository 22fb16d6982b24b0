// Places to record to, and what can be done to them. All of it in the mount namespace of this process.

import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { must, sh } from './footage.mjs';
import { pause } from './network.mjs';

/** Cgroup v1, in which the block layer can be told a rate. */
const BLKIO = '/sys/fs/cgroup/blkio';

/** An ext4 file system on a loop device. */
export class Loop {
  /** `options` of the mount. */
  constructor({ megabytes = 400, options = 'loop' } = {}) {
    this.root = mkdtempSync(join(tmpdir(), 'nightjar-mount-'));
    this.image = `${this.root}.img`;
    this.megabytes = megabytes;
    this.options = options;
  }

  async make() {
    await must('truncate', '-s', `${this.megabytes}M`, this.image);
    // Nothing is left to be done in the background: the copies of the image are of what was written.
    await must('mkfs.ext4', '-q', '-F', '-E', 'lazy_itable_init=0,lazy_journal_init=0', this.image);
    await this.mount();
  }

  async mount() {
    await must('mount', '-o', this.options, this.image, this.root);
    this.device = await must('findmnt', '-n', '-o', 'SOURCE', this.root);
  }

  /** From under open files, without a word to them. */
  vanish = () => must('umount', '-l', this.root);
  freeze = () => must('fsfreeze', '-f', this.root);
  thaw = () => must('fsfreeze', '-u', this.root);

  /** The file system finds itself damaged, and lets nobody write any more. */
  damage() {
    const name = this.device.split('/').pop();
    writeFileSync(`/sys/fs/ext4/${name}/trigger_fs_error`, 'nightjar');
  }

  /** What a person does then: the program has to have let go of it. */
  async repair() {
    await must('umount', this.root);
    // 1: errors were corrected.
    const { code, stdout, stderr } = await sh('e2fsck', '-fy', this.image);
    if (code > 1) throw new Error(`e2fsck: ${code} ${stdout} ${stderr}`);
    await this.mount();
  }

  /** Directories in which files are made: all, or those of one camera. */
  #dirs(id) {
    const cameras = readdirSync(this.root).filter((name) => name.startsWith('cam_'));
    const wanted = cameras.filter((name) => id === null || name === id);
    const paths = wanted.map((name) => join(this.root, name));
    const days = paths.flatMap((dir) => readdirSync(dir).map((day) => join(dir, day)));
    return [...(id === null ? [this.root] : []), ...paths, ...days];
  }

  async immutable(id = null) {
    this.held = this.#dirs(id);
    await must('chattr', '+i', ...this.held);
  }

  mutable = () => must('chattr', '-i', ...this.held);

  /** Whatever process `pid` writes to it goes no faster. */
  async throttle(pid, bytes) {
    const group = join(BLKIO, `nightjar-${pid}`);
    mkdirSync(group, { recursive: true });
    const numbers = await must('lsblk', '-n', '-o', 'MAJ:MIN', this.device);
    this.group = group;
    this.limit = (rate) =>
      writeFileSync(join(group, 'blkio.throttle.write_bps_device'), `${numbers.trim()} ${rate}`);
    this.limit(bytes);
    writeFileSync(join(group, 'cgroup.procs'), String(pid));
  }

  release() {
    this.limit(0);
  }

  async clean() {
    // Whatever a failed trial left.
    await sh('fsfreeze', '-u', this.root);
    if (this.held) await sh('chattr', '-i', ...this.held);
    for (let n = 0; n < 20 && (await sh('umount', this.root)).code !== 0; n++) {
      if ((await sh('mountpoint', '-q', this.root)).code !== 0) break;
      await pause(100);
    }
    if (this.group) await sh('rmdir', this.group);
    rmSync(this.image, { force: true });
    await sh('rmdir', this.root);
  }
}

/** A directory of another place, mounted where recordings go. */
export class Bind {
  async make() {
    this.root = mkdtempSync(join(tmpdir(), 'nightjar-mount-'));
    this.there = mkdtempSync(join(tmpdir(), 'nightjar-there-'));
    await this.mount();
  }

  mount = () => must('mount', '--bind', this.there, this.root);
  vanish = () => must('umount', '-l', this.root);

  async clean() {
    await sh('umount', '-l', this.root);
    rmSync(this.there, { recursive: true, force: true });
    await sh('rmdir', this.root);
  }
}

/** Memory as a disk, of a size that somebody can fill up. */
export class Memory {
  constructor(megabytes) {
    this.megabytes = megabytes;
  }

  async make() {
    this.root = mkdtempSync(join(tmpdir(), 'nightjar-mount-'));
    await must('mount', '-t', 'tmpfs', '-o', `size=${this.megabytes}m`, 'tmpfs', this.root);
  }

  /** dd ends with “no space left”, as it should. */
  fill = () => sh('dd', 'if=/dev/zero', `of=${join(this.root, 'foreign')}`, 'bs=64k');
  free = () => rmSync(join(this.root, 'foreign'));

  async clean() {
    await sh('umount', '-l', this.root);
    await sh('rmdir', this.root);
  }
}
