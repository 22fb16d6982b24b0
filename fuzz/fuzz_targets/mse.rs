//! Frames as a hostile camera would have them, on their way to a page: whatever their times, sizes and
//! parameters are, every fragment is whole and its decode times rise.
#![no_main]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::FutureExt as _;
use libfuzzer_sys::fuzz_target;
use nightjar_engine::hub::{Limits, Slot};
use nightjar_engine::live::{Mse, MseMessage, Sound};
use nightjar_engine::media::{Codec, Frame, Parameters, TrackInfo, TrackKind, h264, h265};
use tokio::time::Instant;

/// Takes the next `count` bytes, fewer where there are not that many.
fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(count.min(bytes.len()));
    *bytes = rest;
    taken
}

fn byte(bytes: &mut &[u8]) -> u8 {
    take(bytes, 1).first().copied().unwrap_or(0)
}

fn number(bytes: &mut &[u8]) -> i64 {
    let mut all = [0; 8];
    let taken = take(bytes, 8);
    all[..taken.len()].copy_from_slice(taken);
    i64::from_le_bytes(all)
}

fn unit(bytes: &mut &[u8]) -> Bytes {
    let count = usize::from(byte(bytes));
    Bytes::copy_from_slice(take(bytes, count))
}

fn tracks(bytes: &mut &[u8], generation: u32) -> Vec<TrackInfo> {
    let how = byte(bytes);
    let (codec, parameters) = match how & 3 {
        0 => {
            let (sps, pps) = (unit(bytes), unit(bytes));
            let (width, height) = h264::Sps::parse(&sps).map_or((640, 360), |s| (s.width, s.height));
            let reorder = how >> 6;
            (Codec::H264, Parameters::H264 { sps, pps, width, height, reorder })
        }
        1 => {
            let (vps, sps, pps) = (unit(bytes), unit(bytes), unit(bytes));
            let (width, height) = h265::Sps::parse(&sps).map_or((640, 360), |s| (s.width, s.height));
            (Codec::H265, Parameters::H265 { vps, sps, pps, width, height, reorder: how >> 6 })
        }
        2 => (Codec::Vp9, Parameters::Video { width: 640, height: 360 }),
        _ => (Codec::Av1, Parameters::Unknown),
    };
    let track = |id, kind, codec, timescale, parameters| TrackInfo {
        id,
        kind,
        codec,
        timescale,
        parameters,
        generation,
        note: None,
    };
    let mut tracks = vec![track(0, TrackKind::Video, codec, 90_000, parameters)];
    if how & 4 != 0 {
        let config = unit(bytes);
        let parameters = Parameters::Aac { config, sample_rate: 48_000, channels: 2 };
        tracks.push(track(1, TrackKind::Audio, Codec::Aac, 48_000, parameters));
    } else if how & 8 != 0 {
        let parameters = Parameters::Audio { sample_rate: 48_000, channels: 2 };
        tracks.push(track(1, TrackKind::Audio, Codec::Opus, 48_000, parameters));
    }
    tracks
}

/// Boxes follow one another to the end, and nothing else does.
fn check(bytes: &[u8]) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let size = u32::from_be_bytes(rest[..4].try_into().expect("four bytes")) as usize;
        assert!((8..=rest.len()).contains(&size), "a box of {size} in {} bytes", rest.len());
        rest = &rest[size..];
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes;
    let slot = Slot::new(Limits::default());
    let mut generation = 0;
    let first = tracks(&mut bytes, generation);
    let mut publisher = slot.publish(Arc::from(first)).expect("nobody else publishes");
    let sound = if byte(&mut bytes) & 1 == 0 { Sound::On } else { Sound::Off };
    let mut mse = Mse::new(&slot, sound);
    let began = Instant::now();
    let mut waited = Duration::ZERO;
    let mut begun = false;
    while !bytes.is_empty() {
        let how = byte(&mut bytes);
        waited += Duration::from_millis(u64::from(byte(&mut bytes)));
        match how & 0x1f {
            0x1e => {
                generation += 1;
                publisher.set_tracks(&tracks(&mut bytes, generation));
            }
            0x1f => {
                drop(publisher);
                let again = tracks(&mut bytes, 0);
                publisher = slot.publish(Arc::from(again)).expect("nobody else publishes");
                generation = 0;
            }
            _ => publisher.push(Frame {
                track: how >> 5 & 1,
                // Half of the times are near each other, as a camera's are.
                pts: if how & 0x10 == 0 { number(&mut bytes) } else { i64::from(byte(&mut bytes)) * 900 },
                arrival: began + waited,
                wall: SystemTime::UNIX_EPOCH,
                key: how & 0x80 != 0,
                generation,
                loss: 0,
                data: unit(&mut bytes),
                packets: Default::default(),
            }),
        }
        if how & 0x40 == 0 {
            continue;
        }
        while let Some(Some(message)) = mse.next().now_or_never() {
            match message {
                MseMessage::Mime(_) => begun = false,
                MseMessage::Init(init) => {
                    begun = true;
                    check(&init);
                }
                MseMessage::Fragment(fragment) => {
                    assert!(begun, "a fragment before its init segment");
                    check(&fragment);
                }
                MseMessage::State(_) => {}
            }
        }
    }
});
