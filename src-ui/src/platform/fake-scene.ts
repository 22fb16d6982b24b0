/** Paints what a fake camera sees: a small night scene per index, with something that moves. Pure pixels. */

const PALETTES: readonly [string, string, string, string][] = [
  ['#1b2533', '#3d4f63', '#0f1418', '#e8b86a'],
  ['#2a2f2b', '#5a6a58', '#141a14', '#f0d79a'],
  ['#30343d', '#77808f', '#1d2026', '#dfe6f2'],
  ['#281f2b', '#6a5263', '#151017', '#f1c27d'],
  ['#12202a', '#2f6270', '#0a1216', '#ffd9a0'],
  ['#34302a', '#8a7c63', '#1c1914', '#fff0c9'],
];

export function paint(
  index: number,
  seconds: number,
  width: number,
  canvas: HTMLCanvasElement = document.createElement('canvas'),
): HTMLCanvasElement {
  const w = Math.round(width);
  const h = Math.round((width * 9) / 16);
  if (canvas.width !== w) {
    canvas.width = w;
    canvas.height = h;
  }
  const g = canvas.getContext('2d');
  if (!g) return canvas;
  const [sky, glow, dark, lamp] = PALETTES[index % PALETTES.length] ??
    PALETTES[0] ?? ['#111', '#333', '#000', '#fff'];
  const random = sequence(index + 1);

  const above = g.createLinearGradient(0, 0, 0, h * 0.62);
  above.addColorStop(0, sky);
  above.addColorStop(1, glow);
  g.fillStyle = above;
  g.fillRect(0, 0, w, h);
  ridge(g, w, h, 0.5, 0.1, random, mix(glow, 0.72));
  ridge(g, w, h, 0.58, 0.07, random, mix(glow, 0.5));

  const houses = 2 + Math.floor(random() * 3);
  for (let i = 0; i < houses; i += 1) {
    const x = w * (i / houses + random() * 0.12);
    const bw = w * (0.12 + random() * 0.1);
    const bh = h * (0.16 + random() * 0.2);
    const y = h * 0.68 - bh;
    g.fillStyle = mix(dark, 1.25);
    g.fillRect(x, y, bw, bh);
    g.beginPath();
    g.moveTo(x - bw * 0.08, y);
    g.lineTo(x + bw / 2, y - bh * 0.35);
    g.lineTo(x + bw * 1.08, y);
    g.fill();
    for (let k = 0; k < 4; k += 1) {
      if (random() < 0.45) continue;
      g.fillStyle = lamp;
      g.globalAlpha = 0.55 + random() * 0.4;
      g.fillRect(
        x + bw * (0.15 + (k % 2) * 0.45),
        y + bh * (0.2 + (k >> 1) * 0.38),
        bw * 0.22,
        bh * 0.18,
      );
      g.globalAlpha = 1;
    }
  }

  const ground = g.createLinearGradient(0, h * 0.66, 0, h);
  ground.addColorStop(0, mix(dark, 1.9));
  ground.addColorStop(1, dark);
  g.fillStyle = ground;
  g.fillRect(0, h * 0.67, w, h * 0.33);
  g.fillStyle = mix(dark, 2.3);
  g.beginPath();
  const bend = w * (0.35 + random() * 0.3);
  g.moveTo(bend - w * 0.02, h * 0.67);
  g.lineTo(bend + w * 0.02, h * 0.67);
  g.lineTo(w * 0.82, h);
  g.lineTo(w * 0.22, h);
  g.fill();

  const t = (seconds * 0.06 + random()) % 1;
  const cx = bend + (w * 0.52 - bend) * t;
  const cy = h * (0.68 + 0.3 * t);
  const size = h * (0.02 + 0.07 * t);
  const light = g.createRadialGradient(cx, cy, 0, cx, cy, size * 5);
  light.addColorStop(0, `${lamp}cc`);
  light.addColorStop(1, `${lamp}00`);
  g.fillStyle = light;
  g.fillRect(cx - size * 5, cy - size * 5, size * 10, size * 10);
  g.fillStyle = '#0b0c0e';
  g.fillRect(cx - size, cy - size * 0.8, size * 2, size * 1.2);

  const shade = g.createRadialGradient(w / 2, h / 2, h * 0.4, w / 2, h / 2, w * 0.7);
  shade.addColorStop(0, '#00000000');
  shade.addColorStop(1, '#000000a0');
  g.fillStyle = shade;
  g.fillRect(0, 0, w, h);

  g.font = `${Math.round(h * 0.045)}px monospace`;
  g.fillStyle = '#ffffffb0';
  g.fillText(new Date().toISOString().slice(0, 19).replace('T', ' '), w * 0.02, h * 0.07);
  return canvas;
}

function ridge(
  g: CanvasRenderingContext2D,
  w: number,
  h: number,
  base: number,
  height: number,
  random: () => number,
  colour: string,
): void {
  const a = random() * 6;
  const b = random() * 6;
  g.fillStyle = colour;
  g.beginPath();
  g.moveTo(0, h);
  for (let x = 0; x <= 40; x += 1) {
    const wave = Math.sin(x * 0.28 + a) * 0.6 + Math.sin(x * 0.11 + b);
    g.lineTo((w * x) / 40, h * (base - height * wave * 0.5));
  }
  g.lineTo(w, h);
  g.fill();
}

/** `colour` with its brightness multiplied. */
function mix(colour: string, factor: number): string {
  const part = (at: number) =>
    Math.min(255, Math.round(Number.parseInt(colour.slice(at, at + 2), 16) * factor));
  return `rgb(${part(1)} ${part(3)} ${part(5)})`;
}

/** The same numbers for the same seed, so that a scene does not flicker. */
function sequence(seed: number): () => number {
  let state = seed * 2654435761;
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 2246822519) + 3266489917) | 0;
    return ((state ^ (state >>> 13)) >>> 0) / 4294967296;
  };
}
