// Runs in the page, before its own scripts: reads the frame number that the test camera's clips
// carry in their pictures (src-tauri/testcam/clips/README.md), and follows a tile's video.

(() => {
  const canvas = document.createElement('canvas');
  const context = canvas.getContext('2d', { willReadFrequently: true });

  /** The frame number of a <video>, <img> or <canvas>; null when it cannot be trusted. */
  function read(source) {
    const width = source.videoWidth || source.naturalWidth || source.width;
    const height = source.videoHeight || source.naturalHeight || source.height;
    if (!(width >= 52 && height >= 36)) return null;
    const rows = Math.ceil(height / 12);
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== rows) canvas.height = rows;
    context.drawImage(source, 0, 0, width, height);
    const { data } = context.getImageData(0, 0, width, rows);
    const column = width / 26;
    const span = height / 20;
    const top = height / 60;
    const value = Array.from({ length: 24 }, (_, i) => {
      let sum = 0;
      let count = 0;
      for (let y = Math.floor(top + span / 4); y <= top + (span * 3) / 4; y++) {
        for (let x = Math.floor((i + 1.25) * column); x <= (i + 1.75) * column; x++, count++) {
          sum += data[(y * width + x) * 4 + 1];
        }
      }
      return sum / count;
    });
    const white = (value[0] + value[23]) / 2;
    const black = (value[1] + value[22]) / 2;
    if (white - black < 40) return null;
    const bit = value.map((v) => Number(v > (white + black) / 2));
    const number = Number.parseInt(bit.slice(2, 18).join(''), 2);
    const check = (number ^ (number >> 4) ^ (number >> 8) ^ (number >> 12) ^ 10) & 15;
    const guards = bit[0] && !bit[1] && !bit[22] && bit[23];
    return guards && Number.parseInt(bit.slice(18, 22).join(''), 2) === check ? number : null;
  }

  function tile(id) {
    return window.__nightjar?.tiles().find((one) => one.id === id) ?? null;
  }

  /** Every frame a tile showed since `watch`: its number, its size, when it was shown. */
  const seen = new Map();

  /** Follows a tile from now on, through redials. */
  function watch(id) {
    if (seen.has(id)) return;
    const frames = [];
    seen.set(id, frames);
    let bound = null;
    let dialled = 0;
    const bind = () => {
      const video = tile(id)?.video ?? null;
      if (video !== bound) {
        bound = video;
        if (video) dialled += 1;
        if (video) next(video);
      }
      requestAnimationFrame(bind);
    };
    const next = (video) => {
      video.requestVideoFrameCallback((_, frame) => {
        frames.push({
          number: read(video),
          width: frame.width,
          // When it is on the screen, ms since 1970.
          at: performance.timeOrigin + frame.expectedDisplayTime,
          // Which of the tile's videos it is: a new one for every dial.
          dialled,
        });
        if (frames.length > 20_000) frames.shift();
        if (video === bound) next(video);
      });
    };
    bind();
  }

  window.__eye = Object.freeze({
    read,
    tile,
    watch,
    frames: (id) => seen.get(id) ?? [],
    /** The number of the picture that a tile shows, live or kept. */
    shown(id) {
      const inside = `[data-tile="${CSS.escape(id)}"] .picture`;
      const video = document.querySelector(`${inside} video:not([data-pending])`);
      const source = video ?? document.querySelector(`${inside} canvas`);
      return source ? read(source) : null;
    },
  });

  document.addEventListener('securitypolicyviolation', (event) => {
    console.error(`CSP: ${event.violatedDirective} blocked ${event.blockedURI}`);
  });
})();
