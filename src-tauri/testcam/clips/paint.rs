//! Paints the scenes of the committed clips: `paint SCENE WIDTH HEIGHT FRAMES > rgb24`.
//!
//! One file without dependencies, so that `make.sh` compiles it with `rustc` alone. A picture is a
//! pure function of place and time; every motion is periodic in the length of the clip, so that
//! the loop has no seam. ffmpeg writes the words, `picture.rs` defines the frame number's cells.

#[path = "../src/picture.rs"]
#[allow(dead_code)]
mod picture;
mod scenes;

use std::io::Write;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let number = |i: usize| args.get(i).and_then(|a| a.parse::<usize>().ok());
    let (Some(scene), Some(width), Some(height), Some(frames)) = (
        args.get(1).and_then(|name| scenes::by_name(name)),
        number(2),
        number(3),
        number(4),
    ) else {
        eprintln!("usage: paint SCENE WIDTH HEIGHT FRAMES");
        std::process::exit(2);
    };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut rgb = vec![0u8; width * height * 3];
    for frame in 0..frames {
        let t = frame as f32 / frames as f32;
        let cells = picture::cells(frame as u16);
        let rows: Vec<&mut [u8]> = rgb.chunks_mut(width * 3).collect();
        std::thread::scope(|scope| {
            let mut halves = rows;
            let lower = halves.split_off(height / 2);
            scope.spawn(|| paint(halves, 0, width, height, t, scene, &cells));
            paint(lower, height / 2, width, height, t, scene, &cells);
        });
        if out.write_all(&rgb).is_err() {
            return;
        }
    }
}

fn paint(
    rows: Vec<&mut [u8]>,
    first: usize,
    width: usize,
    height: usize,
    t: f32,
    scene: scenes::Scene,
    cells: &[bool; picture::CELLS],
) {
    for (index, row) in rows.into_iter().enumerate() {
        let v = ((first + index) as f32 + 0.5) / height as f32;
        for x in 0..width {
            let u = (x as f32 + 0.5) / width as f32;
            let pixel = if v < picture::STRIP {
                let column = (u * picture::COLUMNS as f32) as usize;
                match (1..=picture::CELLS).contains(&column)
                    && (picture::TOP..picture::BOTTOM).contains(&v)
                {
                    true if cells[column - 1] => [235; 3],
                    true => [12; 3],
                    false => [34; 3],
                }
            } else {
                // Lenses darken towards the corners; the eye expects it.
                let (du, dv) = (u - 0.5, v - 0.5);
                let light = 1.0 - 0.55 * (du * du + dv * dv);
                let c = scene(u * 16.0, v * 9.0, t, 9.0 / height as f32);
                [c.0, c.1, c.2].map(|c| (c * light * 255.0).clamp(0.0, 255.0) as u8)
            };
            row[x * 3..x * 3 + 3].copy_from_slice(&pixel);
        }
    }
}
