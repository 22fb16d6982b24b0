use proptest::prelude::*;

use super::*;
use crate::media::Frame;

fn part(timestamp: u32, marker: bool, payload: impl Into<Bytes>) -> Part {
    Part { timestamp, marker, lost: 0, payload: payload.into() }
}

const SPS: &[u8] = &[
    0x67, 0x42, 0xc0, 0x1f, 0xd9, 0x00, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00,
    0x00, 0x03, 0x03, 0x20, 0xf1, 0x83, 0x24, 0x80,
];
const PPS: &[u8] = &[0x68, 0xcb, 0x83, 0xcb, 0x20];

fn stap(units: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![0x78];
    for unit in units {
        out.extend_from_slice(&u16::try_from(unit.len()).expect("short").to_be_bytes());
        out.extend_from_slice(unit);
    }
    out
}

#[test]
fn h264_comes_as_aggregates_fragments_and_single_units() {
    let mut stream = Depacketizer::new(Codec::H264).expect("known");
    // Nothing before a key frame.
    stream.push(&part(1, true, vec![0x41, 1, 2]));
    assert!(stream.pop().is_none() && stream.waits_for_key());
    stream.push(&part(2, false, stap(&[SPS, PPS])));
    stream.push(&part(2, false, vec![0x7c, 0x85, 1, 2]));
    stream.push(&part(2, false, vec![0x7c, 0x05, 3]));
    stream.push(&part(2, true, vec![0x7c, 0x45, 4]));
    let key = stream.pop().expect("whole");
    assert_eq!((key.key, key.timestamp, &key.data[..]), (true, 2, &[0, 0, 0, 5, 0x65, 1, 2, 3, 4][..]));
    let Parameters::H264 { sps, width, height, .. } = stream.parameters() else { unreachable!("h264") };
    assert_eq!((&sps[..], *width, *height), (SPS, 1280, 720));
    stream.push(&part(3, true, vec![0x41, 7]));
    assert_eq!(stream.pop().expect("whole").data[..], [0, 0, 0, 2, 0x41, 7]);
    // Unmarked end: the next time tells.
    stream.push(&part(4, false, vec![0x41, 8]));
    assert!(stream.pop().is_none());
    stream.push(&part(5, true, vec![0x41, 9]));
    assert_eq!(stream.pop().map(|unit| unit.timestamp), Some(4));
    assert_eq!(stream.pop().map(|unit| unit.timestamp), Some(5));
}

#[test]
fn after_a_loss_nothing_comes_before_the_next_key_frame() {
    let mut stream = Depacketizer::new(Codec::H264).expect("known");
    let key = |stream: &mut Depacketizer, at| {
        stream.push(&part(at, false, stap(&[SPS, PPS])));
        stream.push(&part(at, true, vec![0x65, 1]));
    };
    key(&mut stream, 1);
    assert!(stream.pop().is_some());
    stream.push(&Part { lost: 2, ..part(2, true, vec![0x41, 1]) });
    stream.push(&part(3, true, vec![0x41, 1]));
    assert!(stream.pop().is_none() && stream.waits_for_key());
    key(&mut stream, 4);
    assert_eq!(stream.pop().map(|unit| (unit.key, unit.loss)), Some((true, 2)));
    // A fragment without its end.
    stream.push(&part(5, true, vec![0x7c, 0x81, 1]));
    assert!(stream.pop().is_none() && stream.waits_for_key());
}

#[test]
fn vp8_says_its_size_in_key_frames() {
    let mut stream = Depacketizer::new(Codec::Vp8).expect("known");
    let frame = [0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x41, 9, 9];
    // Extended descriptor with a picture number of two bytes.
    let mut first = vec![0x90, 0x80, 0x81, 0x23];
    first.extend_from_slice(&frame[..6]);
    let mut second = vec![0x00];
    second.extend_from_slice(&frame[6..]);
    stream.push(&part(1, false, first));
    stream.push(&part(1, true, second));
    let unit = stream.pop().expect("whole");
    assert_eq!((unit.key, &unit.data[..]), (true, &frame[..]));
    assert_eq!(stream.parameters(), &Parameters::Video { width: 640, height: 480 });
    stream.push(&part(2, true, vec![0x10, 0x01, 5]));
    assert_eq!(stream.pop().map(|unit| unit.key), Some(false));
}

#[test]
fn what_our_own_packetizer_sends_comes_back_whole() {
    let sizes = [1, 1_199, 1_200, 5_000];
    let vp9_key = [0x82, 0x49, 0x83, 0x42, 0x20, 0x27, 0xf0, 0x1d, 0xf0];
    let av1_key = [0x0a, 0x0b, 0, 0, 0, 0x24, 0xcf, 0x7f, 0x0d, 0xbf, 0xff, 0x30, 0x08];
    for codec in [Codec::Vp8, Codec::Vp9, Codec::Av1] {
        let mut stream = Depacketizer::new(codec).expect("known");
        for (n, size) in sizes.into_iter().enumerate() {
            let mut data = match codec {
                Codec::Vp8 => vec![0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01],
                Codec::Vp9 => vp9_key.to_vec(),
                _ => av1_key.to_vec(),
            };
            if codec == Codec::Av1 {
                // A frame OBU with its size.
                data.push(0x32);
                if size > 0x7f {
                    data.push(u8::try_from(size & 0x7f).expect("7 bits") | 0x80);
                    data.push(u8::try_from(size >> 7).expect("short"));
                } else {
                    data.push(u8::try_from(size).expect("7 bits"));
                }
            }
            data.extend(std::iter::repeat_n(0xaa, size));
            let frame = Frame {
                track: 0,
                pts: 0,
                arrival: tokio::time::Instant::now(),
                wall: std::time::SystemTime::UNIX_EPOCH,
                key: true,
                generation: 0,
                loss: 0,
                data: data.clone().into(),
                packets: Default::default(),
            };
            let track = crate::media::TrackInfo {
                id: 0,
                kind: crate::media::TrackKind::Video,
                codec,
                timescale: 90_000,
                parameters: Parameters::Unknown,
                generation: 0,
                note: None,
            };
            let payloads = super::super::packetize::packets(&track, &frame);
            let at = u32::try_from(n).expect("few");
            for (i, payload) in payloads.iter().enumerate() {
                stream.push(&part(at, i + 1 == payloads.len(), payload.clone()));
            }
            let unit = stream.pop().unwrap_or_else(|| unreachable!("{codec} of {size} is whole"));
            assert!(unit.key, "{codec}");
            assert_eq!(unit.data, data, "{codec} of {size}");
        }
        assert_ne!(stream.parameters(), &Parameters::Unknown);
    }
}

#[test]
fn a_unit_that_grows_beyond_all_bounds_is_dropped_and_the_next_one_comes() {
    let mut stream = Depacketizer::new(Codec::Av1).expect("known");
    // Each comes out two bytes longer than it went in: the last one that fits ends one byte beyond the bound.
    let mut obu = vec![0x10, 0x30];
    obu.resize(1 + 1_983, 7);
    for _ in 0..UNIT_MAX / 1_985 + 3 {
        stream.push(&part(1, false, obu.clone()));
    }
    stream.push(&part(1, true, obu));
    assert!(stream.pop().is_none() && stream.waits_for_key());
    assert!(stream.data.len() <= UNIT_MAX);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(
        codec in prop::sample::select(vec![Codec::H264, Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::Opus]),
        packets in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..60), 0u32..3, any::<bool>(), 0u16..2), 0..40),
    ) {
        let mut stream = Depacketizer::new(codec).expect("known");
        for (payload, timestamp, marker, lost) in packets {
            stream.push(&Part { timestamp, marker, lost, payload: payload.into() });
            while let Some(unit) = stream.pop() {
                prop_assert!(!unit.data.is_empty() && unit.data.len() <= UNIT_MAX);
            }
        }
    }
}
