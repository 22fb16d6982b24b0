//! How long the catalogue takes for a day out of a year of cameras, for the figures of `npm run bench`.
//!
//! `nightjar-bench-catalogue [cameras] [days]` fills a new one with files of a quarter of an hour, then asks
//! for days by chance, of one camera and of all, and says the milliseconds of each as JSON.

#![allow(clippy::print_stdout)]
#![allow(clippy::disallowed_methods, reason = "it measures real time")]

use std::time::Instant;

use nightjar_engine::store::{Catalogue, FoundSegment, NewSegment, Query, SegmentState};
use uuid::Uuid;

const QUARTER: i64 = 900_000_000;
const ASKED: usize = 200;

fn main() -> anyhow::Result<()> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<i64>());
    let cameras = numbers.next().transpose()?.unwrap_or(16);
    let days = numbers.next().transpose()?.unwrap_or(365);
    let dir = std::env::temp_dir().join(format!("nightjar-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let measured = measure(&dir.join("catalogue.db"), cameras, days);
    std::fs::remove_dir_all(&dir)?;
    measured
}

fn measure(path: &std::path::Path, cameras: i64, days: i64) -> anyhow::Result<()> {
    let (catalogue, _) = Catalogue::open(path)?;
    let began = Instant::now();
    for day in 0..days {
        let mut found = Vec::new();
        for quarter in 0..96 {
            let n = day * 96 + quarter;
            for camera in 0..cameras {
                let name = format!("cam_{camera:02}");
                found.push(FoundSegment {
                    segment: NewSegment {
                        id: Uuid::from_u128((n * cameras + camera).try_into()?),
                        path: format!("{name}/{day}/{name}_{n}.mp4"),
                        camera: name,
                        disk: String::new(),
                        start_us: n * QUARTER,
                        codec: "h264".to_owned(),
                        width: 1_920,
                        height: 1_080,
                    },
                    end_us: (n + 1) * QUARTER,
                    bytes: 450_000_000,
                    state: SegmentState::Sealed,
                    protected: false,
                });
            }
        }
        catalogue.segments_found(&found)?;
    }
    let filled = began.elapsed();
    drop(catalogue);
    let began = Instant::now();
    let (catalogue, _) = Catalogue::open(path)?;
    let opened = began.elapsed();
    let mut of_one = Vec::new();
    let mut of_all = Vec::new();
    for n in 0..i64::try_from(ASKED)? {
        // Days far apart, each once.
        let day = n * 7_919 % days;
        let span = (day * 96 * QUARTER, (day + 1) * 96 * QUARTER);
        let name = format!("cam_{:02}", n % cameras);
        for (camera, times) in [(Some(name.as_str()), &mut of_one), (None, &mut of_all)] {
            let began = Instant::now();
            let rows = catalogue.segments(Query { camera, from_us: span.0, to_us: span.1 })?;
            times.push(began.elapsed().as_secs_f64() * 1_000.0);
            let expected = 96 * camera.map_or(cameras, |_| 1);
            anyhow::ensure!(i64::try_from(rows.len())? == expected, "{} rows", rows.len());
        }
    }
    println!(
        "{}",
        serde_json::json!({
            "segments": days * 96 * cameras,
            "fill_s": filled.as_secs_f64(),
            "open_ms": opened.as_secs_f64() * 1_000.0,
            "of_one": of_one,
            "of_all": of_all,
        })
    );
    Ok(())
}
