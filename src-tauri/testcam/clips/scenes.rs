//! The scenes: functions of place (16 × 9 units, y down), time (0 … 1, periodic) and the size of
//! a pixel in units, by which edges are smoothed.

use std::f32::consts::TAU;

/// Red, green, blue, each 0 … 1.
#[derive(Clone, Copy)]
pub struct Rgb(pub f32, pub f32, pub f32);

/// A picture: place, time, pixel size → colour.
pub type Scene = fn(f32, f32, f32, f32) -> Rgb;

/// The scene of that name.
pub fn by_name(name: &str) -> Option<Scene> {
    Some(match name {
        "front-door" => front_door,
        _ => return None,
    })
}

const fn hex(rgb: u32) -> Rgb {
    Rgb(
        (rgb >> 16 & 255) as f32 / 255.0,
        (rgb >> 8 & 255) as f32 / 255.0,
        (rgb & 255) as f32 / 255.0,
    )
}

impl Rgb {
    fn mix(self, other: Rgb, a: f32) -> Rgb {
        let a = a.clamp(0.0, 1.0);
        Rgb(
            self.0 + (other.0 - self.0) * a,
            self.1 + (other.1 - self.1) * a,
            self.2 + (other.2 - self.2) * a,
        )
    }
    fn lit(self, by: f32) -> Rgb {
        Rgb(self.0 * by, self.1 * by, self.2 * by)
    }
}

/// One picture point on its way through the layers.
struct Pen {
    x: f32,
    y: f32,
    px: f32,
    c: Rgb,
}

impl Pen {
    /// Paints where the signed distance is negative, one pixel of smoothing.
    fn fill(&mut self, distance: f32, c: Rgb) {
        self.c = self.c.mix(c, 0.5 - distance / self.px);
    }
    /// The same with a soft edge of the given width.
    fn soft(&mut self, distance: f32, width: f32, c: Rgb, strength: f32) {
        self.c = self.c.mix(c, (0.5 - distance / width).clamp(0.0, 1.0) * strength);
    }
    fn rect(&self, x0: f32, y0: f32, x1: f32, y1: f32) -> f32 {
        (x0 - self.x).max(self.x - x1).max((y0 - self.y).max(self.y - y1))
    }
    fn round(&self, x0: f32, y0: f32, x1: f32, y1: f32, r: f32) -> f32 {
        let dx = (x0 + r - self.x).max(self.x - x1 + r);
        let dy = (y0 + r - self.y).max(self.y - y1 + r);
        dx.max(dy).min(0.0) + dx.max(0.0).hypot(dy.max(0.0)) - r
    }
    fn disc(&self, x: f32, y: f32, r: f32) -> f32 {
        (self.x - x).hypot(self.y - y) - r
    }
    fn oval(&self, x: f32, y: f32, rx: f32, ry: f32) -> f32 {
        (((self.x - x) / rx).hypot((self.y - y) / ry) - 1.0) * rx.min(ry)
    }
    /// A thick line with round ends.
    fn limb(&self, a: (f32, f32), b: (f32, f32), r: f32) -> f32 {
        let (px, py) = (self.x - a.0, self.y - a.1);
        let (bx, by) = (b.0 - a.0, b.1 - a.1);
        let h = ((px * bx + py * by) / (bx * bx + by * by)).clamp(0.0, 1.0);
        (px - bx * h).hypot(py - by * h) - r
    }
    /// Below a line through two points.
    fn below(&self, a: (f32, f32), b: (f32, f32)) -> f32 {
        a.1 + (b.1 - a.1) * (self.x - a.0) / (b.0 - a.0) - self.y
    }
    fn sky(&mut self, top: Rgb, bottom: Rgb, horizon: f32) {
        self.c = top.mix(bottom, self.y / horizon);
    }
    fn cloud(&mut self, x: f32, y: f32, size: f32, c: Rgb) {
        for (dx, dy, r) in [(0.0, 0.0, 0.5), (0.6, 0.1, 0.4), (-0.6, 0.12, 0.38), (0.15, -0.2, 0.42)] {
            let d = self.disc(x + dx * size, y + dy * size, r * size);
            self.soft(d, 0.5 * size, c, 0.8);
        }
    }
    /// A walking person whose feet stand at (x, y), `h` high; `step` is the phase of the walk.
    fn person(&mut self, x: f32, y: f32, h: f32, step: f32, coat: Rgb, dir: f32) {
        let (s, c) = (step * TAU).sin_cos();
        let shade = self.oval(x, y, 0.3 * h, 0.05 * h);
        self.soft(shade, 0.1 * h, hex(0x14171b), 0.45);
        let hip = (x, y - 0.47 * h + 0.012 * h * c.abs());
        let dark = hex(0x2b3242);
        for side in [-1.0, 1.0] {
            let knee = (hip.0 + side * s * 0.11 * h, hip.1 + 0.23 * h);
            let foot = (
                hip.0 + side * s * 0.17 * h - 0.05 * h * dir * (side * c).max(0.0),
                y - (side * c * dir).max(0.0) * 0.04 * h,
            );
            let thigh = self.limb(hip, knee, 0.055 * h);
            self.fill(thigh, dark);
            let shin = self.limb(knee, foot, 0.042 * h);
            self.fill(shin, dark);
            let shoe = self.limb(foot, (foot.0 + 0.06 * h * dir, foot.1), 0.03 * h);
            self.fill(shoe, hex(0x18181a));
        }
        let neck = (x + 0.01 * h * dir, y - 0.83 * h);
        let far = self.limb((x, y - 0.77 * h), (x - s * 0.16 * h, y - 0.5 * h), 0.036 * h);
        self.fill(far, coat.lit(0.75));
        let body = self.limb((x, y - 0.5 * h), (x, y - 0.76 * h), 0.092 * h);
        self.fill(body, coat);
        let near = self.limb((x, y - 0.77 * h), (x + s * 0.16 * h, y - 0.5 * h), 0.038 * h);
        self.fill(near, coat.lit(1.12));
        let head = self.disc(neck.0, neck.1 - 0.085 * h, 0.075 * h);
        self.fill(head, hex(0xc98f6c));
        let hair = self.disc(neck.0 - 0.014 * h * dir, neck.1 - 0.108 * h, 0.072 * h);
        self.fill(hair, hex(0x2c1d16));
    }
    /// A car seen from the side, the wheels at y, `s` is its scale.
    fn car(&mut self, x: f32, y: f32, s: f32, paint: Rgb, dir: f32) {
        let shade = self.oval(x, y + 0.04 * s, 1.55 * s, 0.14 * s);
        self.soft(shade, 0.2 * s, hex(0x101214), 0.6);
        let cabin = self
            .round(x - 0.75 * s - 0.1 * s * dir, y - 1.02 * s, x + 0.65 * s - 0.1 * s * dir, y - 0.4 * s, 0.3 * s);
        self.fill(cabin, paint.lit(0.85));
        let glass = self
            .round(x - 0.66 * s - 0.1 * s * dir, y - 0.95 * s, x + 0.56 * s - 0.1 * s * dir, y - 0.58 * s, 0.2 * s);
        self.fill(glass, hex(0x1d2b38));
        let pillar = self.rect(x - 0.08 * s, y - 0.96 * s, x, y - 0.55 * s);
        self.fill(pillar, paint.lit(0.85));
        let body = self.round(x - 1.4 * s, y - 0.62 * s, x + 1.4 * s, y - 0.14 * s, 0.2 * s);
        self.fill(body, paint);
        let sill = self.rect(x - 1.3 * s, y - 0.26 * s, x + 1.3 * s, y - 0.17 * s);
        self.fill(sill, paint.lit(0.6));
        let lamp = self.disc(x + 1.3 * s * dir, y - 0.46 * s, 0.1 * s);
        self.fill(lamp, hex(0xfff3c4));
        let tail = self.disc(x - 1.34 * s * dir, y - 0.46 * s, 0.07 * s);
        self.fill(tail, hex(0xd8352a));
        for wheel in [-0.85, 0.85] {
            let tyre = self.disc(x + wheel * s, y - 0.16 * s, 0.26 * s);
            self.fill(tyre, hex(0x17181a));
            let rim = self.disc(x + wheel * s, y - 0.16 * s, 0.13 * s);
            self.fill(rim, hex(0x9aa0a6));
        }
    }
    /// A round tree top on a trunk that stands at (x, y); the wind moves it.
    fn tree(&mut self, x: f32, y: f32, s: f32, wind: f32, leaf: Rgb) {
        let trunk = self.limb((x, y), (x + 0.06 * wind * s, y - 1.3 * s), 0.11 * s);
        self.fill(trunk, hex(0x4a3826));
        for (i, (dx, dy, r)) in
            [(-0.45, -1.5, 0.55), (0.5, -1.55, 0.5), (0.0, -1.95, 0.62), (-0.05, -1.45, 0.5)].into_iter().enumerate()
        {
            let sway = 0.09 * wind * (1.0 - dy * 0.3);
            let d = self.disc(x + (dx + sway) * s, y + dy * s, r * s);
            self.fill(d, leaf.lit(0.84 + 0.09 * i as f32));
        }
    }
    /// Flower pot with leaves, standing at (x, y).
    fn pot(&mut self, x: f32, y: f32, s: f32, wind: f32, bloom: Rgb) {
        for i in 0..7 {
            let a = (i as f32 - 3.0) * 0.32 + 0.12 * wind;
            let tip = (x + a.sin() * 1.25 * s, y - 0.6 * s - a.cos() * 1.15 * s);
            let leaf = self.limb((x, y - 0.6 * s), tip, 0.07 * s);
            self.fill(leaf, hex(0x3f7a3a).lit(0.8 + 0.06 * i as f32));
            let flower = self.disc(tip.0, tip.1, 0.13 * s);
            self.fill(flower, bloom);
        }
        let pot = self.round(x - 0.45 * s, y - 0.75 * s, x + 0.45 * s, y, 0.12 * s);
        self.fill(pot, hex(0xa85b3a));
        let rim = self.round(x - 0.52 * s, y - 0.82 * s, x + 0.52 * s, y - 0.62 * s, 0.06 * s);
        self.fill(rim, hex(0xbd6c47));
    }
}

/// Still grain of a surface: the same in every frame, so that it costs nothing after a key frame.
fn grain(x: f32, y: f32, scale: f32) -> f32 {
    let (xi, yi) = ((x * scale).floor() as i32, (y * scale).floor() as i32);
    let mut n = (xi.wrapping_mul(374_761_393) ^ yi.wrapping_mul(668_265_263)) as u32;
    n = (n ^ n >> 13).wrapping_mul(1_274_126_177);
    ((n ^ n >> 16) & 0xffff) as f32 / 65535.0 - 0.5
}

/// A value that goes round once per clip, `times` times.
fn wave(t: f32, times: f32, phase: f32) -> f32 {
    (TAU * (t * times + phase)).sin()
}

/// A way across the picture that takes part of the clip; off the picture outside of it.
fn pass(t: f32, start: f32, length: f32, from: f32, to: f32) -> f32 {
    let s = (t - start).rem_euclid(1.0) / length;
    if s > 1.0 { -99.0 } else { from + (to - from) * s }
}

fn front_door(x: f32, y: f32, t: f32, px: f32) -> Rgb {
    let mut p = Pen { x, y, px, c: hex(0) };
    p.sky(hex(0x6fa8dc), hex(0xdcebf5), 4.0);
    for (i, (h, s)) in [(1.2, 1.3), (1.9, 0.9), (1.45, 1.1)].into_iter().enumerate() {
        let at = (t + i as f32 / 3.0 + 0.13).rem_euclid(1.0) * 22.0 - 3.0;
        p.cloud(at, h, s, hex(0xffffff));
    }
    // Houses across the street.
    for (i, (x0, w, h, c)) in
        [(-0.5, 4.2, 2.0, 0xd9c7a8), (4.1, 3.6, 2.5, 0xb86f52), (8.2, 4.0, 1.9, 0xe4ddd0), (12.6, 4.4, 2.4, 0x9fb0b5)]
            .into_iter()
            .enumerate()
    {
        let (base, c) = (4.35, hex(c));
        let roof = p.below((x0 - 0.3, base - h), (x0 + w / 2.0, base - h - 0.95)).max(
            p.below((x0 + w / 2.0, base - h - 0.95), (x0 + w + 0.3, base - h)),
        );
        let roof = roof.max(p.rect(x0 - 0.3, base - h - 1.0, x0 + w + 0.3, base - h));
        p.fill(roof, hex(0x5b4238).lit(0.9 + 0.1 * i as f32));
        let wall = p.rect(x0, base - h, x0 + w, base);
        p.fill(wall, c);
        for k in 0..3 {
            let wx = x0 + 0.5 + k as f32 * (w - 1.0) / 2.6;
            let frame = p.rect(wx - 0.06, base - h + 0.34, wx + 0.66, base - h + 1.16);
            p.fill(frame, hex(0xf4f1ea));
            let pane = p.rect(wx, base - h + 0.4, wx + 0.6, base - h + 1.1);
            let on = wave(t, 1.0, i as f32 * 0.27 + k as f32 * 0.41) > 0.75;
            p.fill(pane, if on { hex(0xffd98a) } else { hex(0x51677a) });
        }
    }
    let wind = wave(t, 2.0, 0.0);
    p.tree(3.2, 4.5, 1.0, wind, hex(0x4f8a45));
    p.tree(12.0, 4.5, 1.15, wave(t, 2.0, 0.2), hex(0x5f9449));
    // Pavement, street, near pavement.
    let walk = p.rect(-1.0, 4.35, 17.0, 4.75);
    p.fill(walk, hex(0xb9b5ac));
    let road = p.rect(-1.0, 4.75, 17.0, 6.0);
    p.fill(road, hex(0x53575c).lit(1.0 + 0.1 * grain(x, y, 12.0)));
    for k in 0..8 {
        let dash = p.rect(k as f32 * 2.2, 5.33, k as f32 * 2.2 + 1.1, 5.4);
        p.fill(dash, hex(0xd8d5c8));
    }
    p.car(pass(t, 0.05, 0.32, -2.5, 18.5), 5.25, 0.85, hex(0x2f6fb0), 1.0);
    p.car(pass(t, 0.55, 0.38, 18.5, -2.5), 5.85, 0.95, hex(0xc23b34), -1.0);
    // Front garden and the path to the door.
    let lawn = p.rect(-1.0, 6.0, 17.0, 10.0);
    p.fill(lawn, hex(0x6d9a4c).lit(1.0 + 0.16 * grain(x, y, 9.0) - 0.04 * (y - 6.0)));
    let left = p.below((7.1, 6.0), (5.3, 9.0));
    let right = p.below((8.9, 6.0), (10.7, 9.0));
    let path = left.max(right).max(6.0 - y);
    let stone = 0.08 * grain(x * 0.6, (y - 6.0) * (y - 3.0) * 0.4, 1.2);
    p.fill(path, hex(0xcfc4b2).lit(1.0 + stone));
    for (hx, w) in [(0.2, 4.8), (11.0, 4.8)] {
        let hedge = p.round(hx, 5.75 + 0.03 * wave(x * 0.6, 1.0, 0.0), hx + w, 6.6, 0.25);
        p.fill(hedge, hex(0x3c6b38).lit(1.0 + 0.35 * grain(x, y, 11.0)));
    }
    // Somebody walks by, and the postman comes up the path and goes away again.
    p.person(pass(t, 0.3, 0.42, 16.8, -0.8), 6.02, 1.5, t * 10.0, hex(0xd08b2f), -1.0);
    let near = (0.5 - 0.5 * (TAU * (t - 0.02)).cos()).powf(1.4);
    let dir = if (TAU * t).sin() >= 0.0 { 1.0 } else { -1.0 };
    p.person(8.0 + 0.25 * wave(t, 1.0, 0.1), 6.25 + 2.1 * near, 1.55 + 1.7 * near, t * 8.0, hex(0x355c8a), dir);
    p.pot(3.6, 8.75, 1.15, wind, hex(0xe05a6d));
    p.pot(12.5, 8.75, 1.15, wave(t, 2.0, 0.3), hex(0xf2c14e));
    // The porch: posts and a lintel frame the picture.
    for post in [0.0, 15.35] {
        let d = p.rect(post, 0.0, post + 0.65, 9.0);
        p.fill(d, hex(0xe9e4da).lit(0.92 + 0.1 * (x - post)));
    }
    let lintel = p.rect(0.0, 0.0, 16.0, 1.0);
    p.fill(lintel, hex(0xd7d0c3));
    let edge = p.rect(0.0, 1.0, 16.0, 1.12);
    p.fill(edge, hex(0x8f877a));
    let lamp = p.disc(8.0, 1.25, 0.26);
    p.fill(lamp, hex(0xfff1c9).lit(0.93 + 0.07 * wave(t, 3.0, 0.0)));
    p.c
}
