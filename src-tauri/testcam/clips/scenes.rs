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
        "garden" => garden,
        "driveway" => driveway,
        "living-room" => living_room,
        "street" => street,
        "harbour" => harbour,
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
    /// A small animal on four legs whose feet stand at (x, y), `s` is its size.
    fn cat(&mut self, x: f32, y: f32, s: f32, step: f32, fur: Rgb, dir: f32) {
        let shade = self.oval(x, y, 0.75 * s, 0.1 * s);
        self.soft(shade, 0.2 * s, hex(0x14171b), 0.4);
        for (i, at) in [-0.42, -0.3, 0.3, 0.42].into_iter().enumerate() {
            let swing = 0.16 * s * (TAU * (step + i as f32 * 0.37)).sin();
            let leg = self.limb((x + at * s, y - 0.45 * s), (x + at * s + swing, y - 0.03 * s), 0.065 * s);
            self.fill(leg, fur.lit(0.85));
        }
        let lift = 0.12 * s * (TAU * step * 0.5).sin();
        let tail = self.limb((x - 0.5 * s * dir, y - 0.55 * s), (x - 0.95 * s * dir, y - 0.95 * s + lift), 0.055 * s);
        self.fill(tail, fur);
        let body = self.limb((x - 0.42 * s, y - 0.52 * s), (x + 0.42 * s, y - 0.55 * s), 0.2 * s);
        self.fill(body, fur);
        let head = self.disc(x + 0.66 * s * dir, y - 0.78 * s, 0.2 * s);
        self.fill(head, fur.lit(1.06));
        for ear in [0.54, 0.76] {
            let tip = self.limb(
                (x + ear * s * dir, y - 0.9 * s),
                (x + ear * s * dir, y - 1.02 * s),
                0.055 * s,
            );
            self.fill(tip, fur.lit(0.9));
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

fn garden(x: f32, y: f32, t: f32, px: f32) -> Rgb {
    let mut p = Pen { x, y, px, c: hex(0) };
    p.sky(hex(0x8fc3e8), hex(0xf6efd9), 4.2);
    let sun = p.disc(13.2, 1.9, 0.55);
    p.soft(sun, 2.6, hex(0xfff4c2), 0.6);
    p.fill(sun, hex(0xfffbe6));
    for (i, (h, s)) in [(1.5, 0.9), (2.1, 0.7)].into_iter().enumerate() {
        let at = (t + i as f32 * 0.47 + 0.2).rem_euclid(1.0) * 21.0 - 2.5;
        p.cloud(at, h, s, hex(0xffffff));
    }
    let hills = y - (3.9 + 0.35 * (x * 0.55).sin() + 0.18 * (x * 1.3 + 1.0).sin());
    p.fill(-hills, hex(0x7fa27a));
    let near = y - (4.35 + 0.2 * (x * 0.8 + 2.0).sin());
    p.fill(-near, hex(0x5f8c57));
    // A fence, plank by plank.
    let plank = (x * 1.6).rem_euclid(1.0);
    let fence = p.rect(-1.0, 3.75 + 0.12 * (plank - 0.5).abs(), 17.0, 5.15);
    if (0.06..0.94).contains(&plank) {
        p.fill(fence, hex(0xa98a63).lit(0.93 + 0.2 * grain((x * 1.6).floor(), 0.0, 1.0)));
    }
    let rail = p.rect(-1.0, 4.2, 17.0, 4.32);
    p.fill(rail, hex(0x8d7150));
    let lawn = p.rect(-1.0, 5.1, 17.0, 10.0);
    p.fill(lawn, hex(0x78b052).lit(1.03 - 0.05 * (y - 5.0) + 0.14 * grain(x, y, 9.0)));
    p.tree(2.1, 6.0, 1.75, wave(t, 2.0, 0.1), hex(0x4c8a3f));
    p.tree(14.2, 5.7, 1.35, wave(t, 2.0, 0.4), hex(0x7aa23c));
    // The pond with its fountain.
    let rim = p.oval(8.2, 6.75, 2.35, 0.78);
    p.fill(rim, hex(0xb3aca0).lit(1.0 + 0.2 * grain(x, y, 5.0)));
    let water = p.oval(8.2, 6.72, 2.1, 0.62);
    let r = ((x - 8.2) / 2.1).hypot((y - 6.72) / 0.62);
    p.fill(water, hex(0x4a90b8).lit(1.0 + 0.1 * (TAU * (r * 3.0 - t * 8.0)).sin()));
    let stem = p.rect(8.08, 5.6, 8.32, 6.75);
    p.fill(stem, hex(0x9c958a));
    for i in 0..14 {
        let s = (t * 8.0 + i as f32 / 14.0).rem_euclid(1.0);
        let side = if i % 2 == 0 { 1.0 } else { -1.0 };
        let drop = p.disc(8.2 + side * s * (0.7 + 0.05 * i as f32), 5.55 - 1.5 * s + 2.6 * s * s, 0.055);
        p.fill(drop, hex(0xe4f4ff));
    }
    for i in 0..9 {
        let fx = 10.9 + 0.62 * i as f32;
        let fy = 7.5 + 0.25 * (i as f32 * 2.3).sin();
        let lean = 0.09 * wave(t, 3.0, i as f32 * 0.13);
        let stalk = p.limb((fx, fy + 1.0), (fx + lean, fy), 0.035);
        p.fill(stalk, hex(0x3d7335));
        for k in 0..5 {
            let (s, c) = (TAU * k as f32 / 5.0).sin_cos();
            let petal = p.disc(fx + lean + 0.13 * c, fy + 0.13 * s, 0.1);
            p.fill(petal, [hex(0xe8577e), hex(0xf7b733), hex(0xb06ad8)][i % 3]);
        }
        let eye = p.disc(fx + lean, fy, 0.085);
        p.fill(eye, hex(0xfff0b0));
    }
    // A cat walks over the lawn, a butterfly goes round the flowers.
    let cat = pass(t, 0.08, 0.6, -1.0, 17.0);
    p.cat(cat, 8.2, 0.95, t * 16.0, hex(0x3a3634), 1.0);
    let (bs, bc) = (TAU * t).sin_cos();
    let at = (12.6 + 1.9 * bc, 6.2 + 0.7 * bs + 0.25 * wave(t, 7.0, 0.0));
    let flap = 0.07 + 0.13 * wave(t, 40.0, 0.0).abs();
    for side in [-1.0, 1.0] {
        let wing = p.oval(at.0 + side * flap, at.1, flap, 0.17);
        p.fill(wing, hex(0xf28a2e));
    }
    p.c
}

fn driveway(x: f32, y: f32, t: f32, px: f32) -> Rgb {
    let mut p = Pen { x, y, px, c: hex(0) };
    let dusk = 0.5 + 0.5 * wave(t, 1.0, 0.0);
    p.sky(hex(0x3f5688), hex(0xf2b98a), 4.3);
    for i in 0..3 {
        let at = (t + i as f32 * 0.34).rem_euclid(1.0) * 22.0 - 3.0;
        p.cloud(at, 1.7 + 0.4 * i as f32, 0.9, hex(0xf6d3bd));
    }
    let trees = y - (3.6 + 0.4 * (x * 1.7).sin() + 0.25 * (x * 3.1 + 1.0).sin());
    p.fill(-trees, hex(0x38513f));
    let lawn = p.rect(-1.0, 4.4, 17.0, 10.0);
    p.fill(lawn, hex(0x587a44).lit(1.0 + 0.15 * grain(x, y, 9.0)));
    let road = p.rect(-1.0, 4.35, 17.0, 5.1);
    p.fill(road, hex(0x4b4d52));
    p.car(pass(t, 0.1, 0.3, 18.0, -2.0), 4.85, 0.62, hex(0xe0c04a), -1.0);
    p.car(pass(t, 0.62, 0.3, -2.0, 18.0), 5.05, 0.66, hex(0x8d9aa5), 1.0);
    let left = p.below((6.4, 5.1), (2.2, 9.0));
    let right = p.below((8.8, 5.1), (13.2, 9.0));
    let drive = left.max(right).max(5.1 - y);
    let block = grain((x - 7.6) / (y - 2.2), y * y * 0.16, 6.0);
    p.fill(drive, hex(0x9b948b).lit(1.0 + 0.1 * block));
    // The house with its garage on the right.
    let wall = p.rect(11.2, 2.0, 17.0, 7.6);
    p.fill(wall, hex(0xc9b79c).lit(0.98 + 0.05 * grain(x, y, 4.0)));
    let roof = p.below((10.6, 2.1), (17.5, 0.6)).max(y - 2.1);
    p.fill(roof, hex(0x6d4438));
    let gate = p.rect(12.0, 3.7, 15.6, 7.55);
    let slat = (y * 2.6).rem_euclid(1.0);
    p.fill(gate, hex(0xeeeae2).lit(if slat < 0.08 { 0.8 } else { 1.0 }));
    let lamp = p.disc(11.6, 3.4, 0.2);
    p.soft(lamp, 2.8, hex(0xffe2a0), 0.35 + 0.25 * dusk);
    p.fill(lamp, hex(0xfff1cc));
    // The family's car, breathing exhaust, and who washes it.
    p.car(7.6, 8.35, 1.75, hex(0x35624f), -1.0);
    for i in 0..4 {
        let s = (t * 4.0 + i as f32 / 4.0).rem_euclid(1.0);
        let puff = p.disc(10.25 + 1.3 * s, 8.0 - 0.9 * s, 0.1 + 0.3 * s);
        p.soft(puff, 0.4, hex(0xd8d8da), 0.55 * (1.0 - s));
    }
    let there = 3.4 + 0.9 * wave(t, 2.0, 0.0);
    let dir = if wave(t, 2.0, 0.25) > 0.0 { 1.0 } else { -1.0 };
    p.person(there, 8.6, 2.9, t * 10.0, hex(0xb8433f), dir);
    p.cat(pass(t, 0.4, 0.45, 16.5, 0.0), 6.3, 0.6, t * 16.0, hex(0xc98a4b), -1.0);
    p.c
}

fn living_room(x: f32, y: f32, t: f32, px: f32) -> Rgb {
    let mut p = Pen { x, y, px, c: hex(0) };
    let tv = 0.5 + 0.25 * wave(t, 5.0, 0.0) + 0.25 * wave(t, 3.0, 0.3);
    p.c = hex(0xd9cdbb).mix(hex(0xc3b39c), x / 16.0);
    let floor = p.rect(-1.0, 6.3, 17.0, 10.0);
    let board = ((x - 8.0) / (y - 2.0) * 7.0).rem_euclid(1.0);
    p.fill(floor, hex(0x9a6b45).lit(if board < 0.04 { 0.82 } else { 1.0 + 0.03 * (y - 6.3) }));
    let base = p.rect(-1.0, 6.1, 17.0, 6.3);
    p.fill(base, hex(0xf3eee5));
    // The window: what goes on outside, and the curtains.
    let frame = p.rect(1.2, 1.2, 5.6, 4.7);
    p.fill(frame, hex(0xfaf7f0));
    let pane = p.rect(1.4, 1.4, 5.4, 4.5);
    if pane < 0.0 {
        p.c = hex(0x8fc4ea).mix(hex(0xe3f1f7), (y - 1.4) / 2.4);
        let at = 1.0 + (t * 1.0).rem_euclid(1.0) * 5.5;
        p.cloud(at, 2.2, 0.55, hex(0xffffff));
        p.tree(4.3, 4.9, 0.95, wave(t, 2.0, 0.0), hex(0x579048));
        let bush = p.disc(2.2, 4.7, 0.75);
        p.fill(bush, hex(0x44763b));
    }
    let bar = p.rect(3.35, 1.4, 3.45, 4.5).min(p.rect(1.4, 2.9, 5.4, 3.0));
    p.fill(bar, hex(0xfaf7f0));
    for (x0, x1, phase) in [(0.75, 1.85, 0.0), (4.95, 6.05, 0.4)] {
        let sway = 0.08 * wave(t, 2.0, phase) * (y - 1.0) * 0.3;
        let cloth = p.rect(x0 + sway, 0.95, x1 + sway, 5.9);
        p.fill(cloth, hex(0x7d93a6).lit(0.95 + 0.12 * ((x - sway) * 22.0).sin()));
    }
    // Television: changing light, a ball that never stops.
    let case = p.round(9.4, 1.9, 14.6, 4.9, 0.12);
    p.fill(case, hex(0x17181b));
    let screen = p.rect(9.55, 2.05, 14.45, 4.75);
    if screen < 0.0 {
        p.c = hex(0x2a6f9e).mix(hex(0x7fc6a0), tv).mix(hex(0x2b8f4f), ((y - 3.6) * 1.5).clamp(0.0, 1.0));
        let ball = p.disc(12.0 + 1.9 * wave(t, 3.0, 0.0), 4.4 - 1.5 * wave(t, 4.0, 0.1).abs(), 0.2);
        p.fill(ball, hex(0xffffff));
    }
    let stand = p.round(8.9, 5.2, 15.1, 6.5, 0.08);
    p.fill(stand, hex(0x6f4b31));
    for k in 0..3 {
        let door = p.rect(9.1 + 2.0 * k as f32, 5.4, 10.9 + 2.0 * k as f32, 6.35);
        p.fill(door, hex(0x7d5639));
    }
    let glow = p.oval(12.0, 7.6, 4.2, 1.0);
    p.soft(glow, 2.5, hex(0x86b5c9), 0.22 * tv);
    let rug = p.oval(7.8, 8.0, 4.8, 1.05);
    p.fill(rug, hex(0xa94f48));
    let ring = p.oval(7.8, 8.0, 4.1, 0.82).abs() - 0.07;
    p.fill(ring, hex(0xe9d3b0));
    // The sofa from behind, a lamp, a plant.
    let sofa = p.round(0.3, 6.0, 5.8, 8.9, 0.45);
    p.fill(sofa, hex(0x4c6b73));
    let seat = p.round(0.8, 6.9, 5.3, 8.0, 0.3);
    p.fill(seat, hex(0x5d808a));
    let cushion = p.round(1.1, 6.2, 2.4, 7.3, 0.25);
    p.fill(cushion, hex(0xe1a84a));
    p.pot(15.0, 8.7, 1.15, wave(t, 2.0, 0.2), hex(0x6aa84f));
    let cord = p.rect(7.46, 0.0, 7.54, 1.7);
    p.fill(cord, hex(0x3a3632));
    let shade = p.oval(7.5 + 0.06 * wave(t, 2.0, 0.0), 1.95, 0.75, 0.5);
    p.soft(shade, 2.2, hex(0xffeac0), 0.4);
    p.fill(shade, hex(0xffe2a8));
    // The dog crosses the room, the cat on the sofa wags its tail.
    let dog = 8.0 + 3.6 * wave(t, 1.0, 0.0);
    let dir = if wave(t, 1.0, 0.25) > 0.0 { 1.0 } else { -1.0 };
    p.cat(dog, 8.35, 1.25, t * 14.0, hex(0xb9854f), dir);
    let tail = p.limb((4.6, 6.15), (5.1 + 0.25 * wave(t, 4.0, 0.0), 5.4), 0.07);
    p.fill(tail, hex(0x2f2c2b));
    let back = p.oval(4.2, 6.0, 0.6, 0.35);
    p.fill(back, hex(0x2f2c2b));
    let head = p.disc(3.6, 5.8, 0.26);
    p.fill(head, hex(0x2f2c2b));
    p.c
}

/// A street by night as an infrared camera sees it: grey, lamps flare.
fn street(x: f32, y: f32, t: f32, px: f32) -> Rgb {
    let mut p = Pen { x, y, px, c: hex(0) };
    p.sky(hex(0x141618), hex(0x33373a), 4.5);
    for (i, (x0, w, h)) in [(-0.5, 3.4, 3.0), (3.0, 2.6, 2.2), (5.7, 3.9, 3.4), (9.7, 2.9, 2.4), (12.7, 4.0, 3.1)]
        .into_iter()
        .enumerate()
    {
        let wall = p.rect(x0, 4.9 - h, x0 + w, 4.9);
        p.fill(wall, hex(0x3c4043).lit(0.85 + 0.1 * i as f32));
        for row in 0..3 {
            for k in 0..4 {
                let wx = x0 + 0.35 + 0.8 * k as f32;
                let wy = 5.2 - h + 0.85 * row as f32;
                if wx + 0.4 < x0 + w && wy < 4.3 {
                    let pane = p.rect(wx, wy, wx + 0.4, wy + 0.5);
                    let on = wave(t, 1.0, (i * 5 + row * 3 + k) as f32 * 0.173) > 0.45;
                    p.fill(pane, if on { hex(0xd4d8d8) } else { hex(0x232629) });
                }
            }
        }
    }
    let walk = p.rect(-1.0, 4.9, 17.0, 5.5);
    p.fill(walk, hex(0x55595b));
    let road = p.rect(-1.0, 5.5, 17.0, 8.3);
    p.fill(road, hex(0x34373a).lit(1.0 + 0.14 * grain(x, y, 10.0)));
    for k in 0..6 {
        let dash = p.rect(0.3 + 3.0 * k as f32, 6.83, 1.9 + 3.0 * k as f32, 6.95);
        p.fill(dash, hex(0x9da1a2));
    }
    let near = p.rect(-1.0, 8.3, 17.0, 10.0);
    p.fill(near, hex(0x606466));
    for lamp in [3.0, 11.5] {
        let pole = p.rect(lamp - 0.07, 1.7, lamp + 0.07, 5.5);
        p.fill(pole, hex(0x1c1e20));
        let head = p.oval(lamp + 0.35, 1.65, 0.45, 0.14);
        p.soft(head, 2.6, hex(0xeef2f2), 0.5);
        p.fill(head, hex(0xffffff));
        let pool = p.oval(lamp + 0.35, 5.6, 2.2, 0.6);
        p.soft(pool, 1.6, hex(0xb9bdbd), 0.5);
    }
    p.person(pass(t, 0.0, 0.8, -1.0, 17.0), 5.45, 1.55, t * 14.0, hex(0x7b8083), 1.0);
    for (at, ground, s, dir) in [
        (pass(t, 0.12, 0.3, 19.0, -4.0), 6.6, 1.05, -1.0),
        (pass(t, 0.55, 0.34, -4.0, 19.0), 7.9, 1.35, 1.0),
    ] {
        let beam = p.oval(at + 4.0 * s * dir, ground, 2.6 * s, 0.4 * s);
        p.soft(beam, 1.2 * s, hex(0xe4e8e8), 0.55);
        p.car(at, ground, s, hex(0x70757a), dir);
        let flare = p.disc(at + 1.3 * s * dir, ground - 0.46 * s, 0.14 * s);
        p.soft(flare, 1.3 * s, hex(0xffffff), 0.75);
    }
    p.cat(pass(t, 0.3, 0.5, 17.0, -1.0), 8.75, 0.8, t * 16.0, hex(0x24282b), -1.0);
    let grey = 0.3 * p.c.0 + 0.55 * p.c.1 + 0.15 * p.c.2;
    Rgb(grey * 0.97, grey, grey * 0.98)
}

fn harbour(x: f32, y: f32, t: f32, px: f32) -> Rgb {
    let mut p = Pen { x, y, px, c: hex(0) };
    p.sky(hex(0x5fa8d8), hex(0xf3e6cf), 4.2);
    p.cloud((t + 0.1).rem_euclid(1.0) * 22.0 - 3.0, 1.7, 1.2, hex(0xfffaf0));
    p.cloud((t + 0.6).rem_euclid(1.0) * 22.0 - 3.0, 2.4, 0.8, hex(0xfffaf0));
    let hills = y - (3.7 + 0.5 * (x * 0.42 + 0.6).sin() + 0.15 * (x * 1.2).sin());
    p.fill(-hills, hex(0x86a3b0));
    // The town on the far side.
    for i in 0..11 {
        let x0 = 5.2 + 0.98 * i as f32;
        let h = 0.8 + 0.45 * (i as f32 * 1.9).sin().abs();
        let wall = p.rect(x0, 4.3 - h, x0 + 0.9, 4.35);
        p.fill(wall, [hex(0xf0e2c8), hex(0xd98c6a), hex(0xe7c36a), hex(0xb7c7c9)][i % 4]);
        let roof = p.below((x0 - 0.1, 4.3 - h), (x0 + 0.45, 3.95 - h));
        let roof = roof.max(p.below((x0 + 0.45, 3.95 - h), (x0 + 1.0, 4.3 - h))).max(y - 4.3 + h);
        p.fill(roof, hex(0xa0523d));
        let pane = p.rect(x0 + 0.3, 4.5 - h, x0 + 0.55, 4.75 - h);
        p.fill(pane, hex(0x4a5d6b));
    }
    // The lighthouse and its turning light.
    let rock = p.oval(2.6, 4.6, 1.9, 0.55);
    p.fill(rock, hex(0x6f6a63));
    let tower = (p.x - 2.6).abs() - 0.36 - 0.07 * (y - 1.4);
    let tower = tower.max(1.5 - y).max(y - 4.4);
    let stripe = ((y - 1.5) * 1.35).rem_euclid(2.0) < 1.0;
    p.fill(tower, if stripe { hex(0xc8433a) } else { hex(0xf7f3ea) });
    let lamp = p.rect(2.32, 1.12, 2.88, 1.5);
    let turn = (0.5 + 0.5 * wave(t, 4.0, 0.0)).powi(4);
    p.soft(p.disc(2.6, 1.3, 0.2), 1.8, hex(0xfff2b8), 0.75 * turn);
    p.fill(lamp, hex(0xffe38a).lit(0.7 + 0.3 * turn));
    let cap = p.below((2.1, 1.15), (2.6, 0.78)).max(p.below((2.6, 0.78), (3.1, 1.15))).max(y - 1.12);
    p.fill(cap, hex(0x3b3f45));
    // Water: long waves, glitter under the sun.
    let sea = p.rect(-1.0, 4.35, 17.0, 10.0);
    let depth = (y - 4.35) / 4.65;
    let swell = (TAU * (x * 0.16 + y * 0.9 - t * 4.0)).sin() * 0.5 + (TAU * (x * 0.31 - y * 0.7 + t * 3.0)).sin() * 0.5;
    let water = hex(0x5b9fbd).mix(hex(0x1f5574), depth);
    p.fill(sea, water.lit(1.0 + 0.1 * swell * (0.3 + depth)));
    // Boats: one sails by, two lie at anchor and rock.
    for (bx, by, s, hull, sail, rock) in [
        (pass(t, 0.0, 0.9, -2.0, 18.0), 5.5, 0.9, hex(0xf4f0e6), true, wave(t, 4.0, 0.0)),
        (5.3, 6.9, 1.25, hex(0xc2453d), false, wave(t, 3.0, 0.2)),
        (12.4, 7.6, 1.5, hex(0x2f6d8c), true, wave(t, 3.0, 0.6)),
    ] {
        let by = by + 0.07 * s * rock;
        let tilt = 0.06 * rock;
        let (dx, dy) = (x - bx, y - by);
        let (dx, dy) = (dx + dy * tilt, dy - dx * tilt);
        let side = (dx.abs() - 1.3 * s + 0.9 * (dy + 0.02).max(0.0)).max(-dy - 0.22 * s).max(dy - 0.4 * s);
        p.fill(side, hull);
        p.fill(side.max(-dy - 0.22 * s).max(dy + 0.1 * s), hull.lit(0.75));
        let mast = (dx.abs() - 0.05 * s).max(dy + 0.2 * s).max(-dy - 2.5 * s);
        p.fill(mast, hex(0x6b4c33));
        if sail {
            let cloth = (0.1 * s - dx).max(dy + 0.4 * s).max(dx - 0.1 * s - (dy + 2.4 * s) * 0.55);
            p.fill(cloth, hex(0xfbf8f0).lit(1.0 - 0.1 * (dx / s)));
        } else {
            let cabin = (dx.abs() - 0.5 * s).max(dy + 0.2 * s).max(-dy - 0.75 * s);
            p.fill(cabin, hex(0xf2ede2));
            let port = ((dx.abs() - 0.22 * s).hypot(dy + 0.48 * s)) - 0.12 * s;
            p.fill(port, hex(0x38505e));
        }
    }
    for i in 0..3 {
        let at = (t + i as f32 * 0.37).rem_euclid(1.0) * 19.0 - 1.5;
        let h = 1.9 + 0.7 * i as f32 * 0.6 + 0.25 * wave(t, 3.0, i as f32 * 0.3);
        let beat = 0.18 * wave(t, 14.0, i as f32 * 0.3);
        for side in [-1.0, 1.0] {
            let wing = p.limb((at, h), (at + side * 0.34, h - 0.08 - beat), 0.045);
            p.fill(wing, hex(0xfdfdfb));
        }
    }
    // The quay in front.
    let quay = p.rect(-1.0, 8.35, 17.0, 10.0);
    p.fill(quay, hex(0x9c9488).lit(0.95 + 0.12 * grain(x, y * 2.0, 1.4)));
    for bollard in [2.0, 8.0, 14.0] {
        let post = p.round(bollard - 0.25, 7.9, bollard + 0.25, 8.7, 0.14);
        p.fill(post, hex(0x33373b));
    }
    p.person(pass(t, 0.25, 0.7, 17.0, -1.0), 8.85, 2.3, t * 12.0, hex(0xd9a520), -1.0);
    p.c
}
