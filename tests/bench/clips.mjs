// Clips with a real bit rate. Filler data, by which the test camera can reach any rate, would not do:
// a server that forwards it would be a bad one, and one that drops it would be measured with nothing.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../web/stage/programs.mjs';

/** A 1080p25 clip of 8 s, a key frame every 4 s, no B-frames, one slice: noise over a test picture; AAC if wanted. */
export function clip(megabits, { sound = false } = {}) {
  const folder = join(root, 'bench', 'out');
  const name = `${megabits}M${sound ? '-aac' : ''}.mp4`;
  const path = join(folder, `1080p25-${name}`);
  if (existsSync(path)) return path;
  mkdirSync(folder, { recursive: true });
  const half = join(folder, `half-${name}`);
  const tone = sound ? ['-f', 'lavfi', '-i', 'sine=440:r=48000:d=8'] : [];
  const picture = 'testsrc2=s=1920x1080:r=25:d=8,noise=alls=12:allf=t,format=yuv420p';
  const x264 = '-c:v libx264 -preset ultrafast -tune zerolatency -profile:v main -bf 0 -threads 2';
  const rate = `-x264-params sliced-threads=0:slices=1 -g 100 -keyint_min 100 -sc_threshold 0 -b:v ${megabits}M -maxrate ${megabits}M -bufsize ${megabits}M`;
  const done = spawnSync(
    'ffmpeg',
    [
      '-v',
      'error',
      '-y',
      '-f',
      'lavfi',
      '-i',
      picture,
      ...tone,
      ...x264.split(' '),
      ...rate.split(' '),
      ...(sound ? ['-c:a', 'aac', '-ac', '1', '-b:a', '64k'] : []),
      half,
    ],
    { stdio: 'inherit' },
  );
  if (done.status !== 0) throw new Error('ffmpeg could not make the clip');
  renameSync(half, path);
  return path;
}
