// Recordings made by ffmpeg, put where the server looks for them. Each frame carries its number as a row
// of black and white squares.

import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

export const FPS = 25;
const SQUARE = 40;
const BITS = 16;

function run(program, args, input = '') {
  const { status, stderr, error } = spawnSync(program, args, { input, encoding: 'utf8' });
  if (error) throw error;
  if (status !== 0) throw new Error(`${program}: ${stderr}`);
}

/** Writes rows into the catalogue; there is no other program that knows how. */
const INSERT = `
import json, sqlite3, sys
wanted = json.load(sys.stdin)
catalogue = sqlite3.connect(wanted["catalogue"])
for s in wanted["segments"]:
    catalogue.execute("INSERT INTO segments (id, camera, disk, path, start_us, end_us, bytes, state, protected, codec, "
        "width, height) VALUES (?,?,'',?,?,?,?,?,0,'h264',?,?)", (bytes.fromhex(s["id"]),
        s["camera"], s["path"], s["start"], s["end"], s["bytes"], s["state"], s["width"], s["height"]))
for g in wanted["gaps"]:
    catalogue.execute("INSERT INTO gaps (camera, start_us, end_us, cause) VALUES (?,?,?,?)", tuple(g))
for a in wanted["alerts"]:
    catalogue.execute("INSERT INTO alerts VALUES (?,?,?,?,?,?,NULL)", (bytes.fromhex(a["id"]), a["kind"],
        a["camera"], a["since"], None, a["message"]))
catalogue.commit()
`;

/**
 * `takes`: `{ camera, start (ms since 1970), seconds, open?, clip? }`; a clip is a file that is repeated.
 * `gaps`: `{ camera, start, end, cause }`. `alerts`: `{ camera, at, kind, message }`.
 */
export function shelve(dataDir, { takes = [], gaps = [], alerts = [] }) {
  const root = join(dataDir, 'recordings');
  let first = 0;
  const segments = takes.map(({ camera, start, seconds, open = false, clip = null }, n) => {
    const path = `${camera}/${n}.mp4`;
    const file = join(root, path);
    mkdirSync(dirname(file), { recursive: true });
    const width = SQUARE * BITS;
    const bit = `gt(mod(floor((N+${first})/pow(2,X)),2),0.5)`;
    // Painted small and enlarged: an expression a pixel is slow.
    const picture =
      `nullsrc=s=${BITS}x2:r=${FPS},format=gray,geq=lum='if(${bit},235,16)',` +
      `scale=${width}:80:flags=neighbor,format=yuv420p[number];` +
      `testsrc2=s=${width}x280:r=${FPS},format=yuv420p[scene];[number][scene]vstack`;
    const source = clip ? ['-stream_loop', '-1', '-i', clip] : ['-f', 'lavfi', '-i', picture];
    const sound = clip ? [] : ['-f', 'lavfi', '-i', 'sine=440:r=48000', '-c:a', 'aac'];
    const coded = clip
      ? ['-map', '0:v', '-c', 'copy']
      : [
          ...sound,
          '-c:v',
          'libx264',
          '-preset',
          'ultrafast',
          '-g',
          String(FPS * 2),
          '-pix_fmt',
          'yuv420p',
        ];
    const form = open ? 'frag_keyframe+delay_moov+default_base_moof' : 'faststart';
    const end = ['-t', String(seconds), '-video_track_timescale', '90000', '-movflags', form, file];
    run('ffmpeg', ['-v', 'error', '-nostdin', '-y', ...source, ...coded, ...end]);
    first += seconds * FPS;
    return {
      id: randomUUID().replaceAll('-', ''),
      camera,
      path,
      start: start * 1000,
      end: (start + seconds * 1000) * 1000,
      bytes: statSync(file).size,
      state: open ? 0 : 1,
      width,
      height: 360,
    };
  });
  const wanted = {
    catalogue: join(dataDir, 'catalogue.db'),
    segments,
    gaps: gaps.map(({ camera, start, end, cause }) => [camera, start * 1000, end * 1000, cause]),
    alerts: alerts.map(({ camera, at, kind, message }) => ({
      id: randomUUID().replaceAll('-', ''),
      camera,
      since: at * 1000,
      kind,
      message,
    })),
  };
  run('/usr/bin/python3', ['-c', INSERT], JSON.stringify(wanted));
}

/** The number of the frame that a video shows; runs in the page. */
export function frameOf(video) {
  const canvas = document.createElement('canvas');
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  const pen = canvas.getContext('2d', { willReadFrequently: true });
  pen.drawImage(video, 0, 0);
  let number = 0;
  for (let bit = 0; bit < 16; bit += 1) {
    const [level] = pen.getImageData(bit * 40 + 20, 40, 1, 1).data;
    if (level > 126) number += 2 ** bit;
  }
  return number;
}
