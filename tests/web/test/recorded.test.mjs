// What the recorder wrote, played by the browser as it is: from start to end, and from any moment.

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { eventually, scene } from '../stage/scene.mjs';

/** The test camera's front door: so many pictures a second, and in a round of its clip. */
const [FPS, ROUND] = [25, 200];
const MOMENTS = [1.5, 0.02, 2.62, 0.94];
const eye = fileURLToPath(new URL('../stage/eye.js', import.meta.url));

/** Runs in the page: plays one file to its end, then looks at moments of it. */
async function watched({ url, moments }) {
  const video = document.createElement('video');
  video.muted = true;
  document.body.append(video);
  const told = (event) =>
    new Promise((resolve, reject) => {
      video.addEventListener(event, resolve, { once: true });
      video.addEventListener('error', () => reject(new Error(video.error?.message)), {
        once: true,
      });
    });
  const known = told('loadedmetadata');
  video.src = url;
  await known;
  const at = async (moment) => {
    const sought = told('seeked');
    video.currentTime = moment;
    await sought;
    return window.__eye.read(video);
  };
  const first = await at(0.01);
  const shown = [];
  for (const moment of moments) shown.push(await at(moment));
  await at(0);
  const over = told('ended');
  video.playbackRate = 2;
  await video.play();
  await over;
  const { duration, currentTime } = video;
  const { totalVideoFrames: frames } = video.getVideoPlaybackQuality();
  video.remove();
  return { duration, currentTime, frames, first, shown, last: window.__eye.read(video) };
}

scene(
  'Chromium plays recordings to the end and seeks in them, while they are written too',
  async (stage) => {
    const camera = await stage.camera({ clip: 'builtin:front-door' });
    const config = `[recording]\nsegment_seconds = 4\nmin_free_gb = 0.0\n[[camera]]\nid = "one"\nurl = "${camera.url}"\nrecord = true\n`;
    const server = await stage.server({ config });
    const list = async () => (await server.api('GET', '/recordings')).segments;
    const long = ({ start, end }) => (Date.parse(end) - Date.parse(start)) / 1000;
    const [sealed, open] = await eventually(
      'a file that is complete, and one that is not',
      async () => {
        const segments = await list();
        const [done, rest] = ['sealed', 'open'].map((state) =>
          segments.find((one) => one.state === state),
        );
        return done && rest && long(rest) > 2.7 ? [done, rest] : null;
      },
    );
    const page = await stage.blank();
    await page.addInitScript({ path: eye });
    await page.goto(`${server.url}/api/v1/health`);
    for (const segment of [open, sealed]) {
      const url = `${server.url}/api/v1/recordings/${segment.id}.mp4`;
      const seen = await page.evaluate(watched, { url, moments: MOMENTS });
      const words = JSON.stringify({ segment, seen });
      const expected = MOMENTS.map((moment) => (seen.first + Math.floor(moment * FPS)) % ROUND);
      assert.deepEqual(seen.shown, expected, words);
      assert.ok(seen.duration >= long(segment) - 0.1, words);
      assert.ok(Math.abs(seen.currentTime - seen.duration) < 0.1, words);
      assert.ok(seen.last !== null, words);
      if (segment === sealed) assert.ok(Math.abs(seen.duration - long(segment)) < 0.1, words);
    }
  },
);
