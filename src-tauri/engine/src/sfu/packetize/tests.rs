use std::sync::Arc;
use std::time::SystemTime;

use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use crate::media::TrackKind;

fn track(codec: Codec, parameters: Parameters) -> TrackInfo {
    let kind = TrackKind::Video;
    TrackInfo { id: 0, kind, codec, timescale: 90_000, parameters, generation: 0, note: None }
}

fn h264_track(sps: &[u8], pps: &[u8]) -> TrackInfo {
    let (sps, pps) = (Bytes::copy_from_slice(sps), Bytes::copy_from_slice(pps));
    track(Codec::H264, Parameters::H264 { sps, pps, width: 640, height: 360, reorder: 0 })
}

fn frame(data: Vec<u8>, key: bool) -> Frame {
    Frame {
        track: 0,
        pts: 0,
        arrival: Instant::now(),
        wall: SystemTime::UNIX_EPOCH,
        key,
        generation: 0,
        loss: 0,
        data: data.into(),
        packets: Default::default(),
    }
}

fn unit(kind: u8, size: usize) -> Vec<u8> {
    let mut unit: Vec<u8> = (0..size).map(|n| u8::try_from(n % 251).expect("small")).collect();
    unit[0] = 0x60 | kind;
    unit
}

fn with_lengths(units: &[Vec<u8>]) -> Vec<u8> {
    let mut data = Vec::new();
    for unit in units {
        data.extend_from_slice(&u32::try_from(unit.len()).expect("small").to_be_bytes());
        data.extend_from_slice(unit);
    }
    data
}

/// What a receiver makes of the payloads: the units in order.
fn depacketize(packets: &[Bytes]) -> Vec<Vec<u8>> {
    let mut units: Vec<Vec<u8>> = Vec::new();
    let mut open = false;
    for packet in packets {
        match packet[0] & NAL_TYPE {
            NAL_STAP_A => {
                let mut rest = &packet[1..];
                while !rest.is_empty() {
                    let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
                    units.push(rest[2..2 + length].to_vec());
                    rest = &rest[2 + length..];
                }
            }
            NAL_FU_A => {
                assert_eq!(packet[1] & FU_START != 0, !open, "a start where one is due, and only there");
                if !open {
                    units.push(vec![packet[0] & !NAL_TYPE | packet[1] & NAL_TYPE]);
                }
                units.last_mut().expect("just begun").extend_from_slice(&packet[2..]);
                open = packet[1] & FU_END == 0;
            }
            _ => units.push(packet.to_vec()),
        }
    }
    assert!(!open, "the last fragment is marked");
    units
}

#[test]
fn payloads_are_made_once_for_all_who_hold_them_and_are_gone_after_the_last() {
    let (track, frame) = (h264_track(b"sps", b"pps"), frame(with_lengths(&[unit(5, 3_000)]), true));
    let (first, second) = (packets(&track, &frame), packets(&track, &frame));
    assert!(Arc::ptr_eq(&first, &second));
    let kept = Arc::downgrade(&first);
    drop((first, second));
    assert!(kept.upgrade().is_none(), "the frame alone keeps none");
    assert!(!packets(&track, &frame).is_empty(), "and they are made again");
}

#[test]
fn a_unit_is_cut_where_it_must_and_nowhere_else() {
    let track = h264_track(&[0x67, 1], &[0x68, 2]);
    // One header byte plus 1,198 bytes a fragment.
    for (size, count) in [(1, 1), (1_200, 1), (1_201, 2), (2_397, 2), (2_398, 3), (100_000, 84)] {
        let packets = packets(&track, &frame(with_lengths(&[unit(1, size)]), false));
        assert_eq!(packets.len(), count, "{size} bytes");
        let (last, others) = packets.split_last().expect("some");
        assert!(others.iter().all(|p| p.len() == PAYLOAD_MAX), "all but the last are full");
        assert!(last.len() <= PAYLOAD_MAX);
        assert_eq!(depacketize(&packets), [unit(1, size)]);
    }
}

#[test]
fn a_key_frame_carries_its_parameter_sets_first() {
    let (sps, pps) = ([0x67, 1, 2, 3], [0x68, 9]);
    let track = h264_track(&sps, &pps);
    let key = packets(&track, &frame(with_lengths(&[unit(5, 3_000)]), true));
    assert_eq!(&key[0][..], [0x78, 0, 4, 0x67, 1, 2, 3, 0, 2, 0x68, 9]);
    assert_eq!(depacketize(&key), [sps.to_vec(), pps.to_vec(), unit(5, 3_000)]);
    let delta = packets(&track, &frame(with_lengths(&[unit(1, 30)]), false));
    assert_eq!(delta.len(), 1);
    // Sets that do not fit one packet go one by one.
    let large = h264_track(&[&[0x67][..], &[7; 1_198]].concat(), &pps);
    let key = packets(&large, &frame(with_lengths(&[unit(5, 30)]), true));
    assert_eq!(key.iter().map(Bytes::len).collect::<Vec<_>>(), [1_199, 2, 30]);
}

#[test]
fn delimiters_filler_and_strays_are_left_out() {
    let track = h264_track(&[0x67], &[0x68]);
    let units = [unit(9, 2), unit(6, 20), unit(7, 5), unit(5, 50), unit(12, 900), unit(28, 9), unit(0, 3)];
    let packets = packets(&track, &frame(with_lengths(&units), true));
    assert_eq!(depacketize(&packets), [vec![0x67], vec![0x68], unit(6, 20), unit(5, 50)]);
}

#[test]
fn damaged_lengths_end_the_frame_quietly() {
    let track = h264_track(&[0x67], &[0x68]);
    let mut data = with_lengths(&[unit(1, 40), unit(1, 40)]);
    data.truncate(60);
    assert_eq!(packets(&track, &frame(data, false)).len(), 1);
    for data in [vec![], vec![0, 0], vec![0, 0, 0, 0], vec![0xff; 9]] {
        assert!(packets(&track, &frame(data, true)).is_empty());
    }
}

#[test]
fn vp8_and_vp9_descriptors_mark_the_ends_of_a_frame() {
    let info = |codec| track(codec, Parameters::Video { width: 0, height: 0 });
    let first_bytes = |codec, key| -> Vec<u8> {
        packets(&info(codec), &frame(vec![7; 2_500], key)).iter().map(|p| p[0]).collect()
    };
    assert_eq!(first_bytes(Codec::Vp8, true), [0x10, 0, 0]);
    assert_eq!(first_bytes(Codec::Vp9, true), [0x08, 0, 0x04]);
    assert_eq!(first_bytes(Codec::Vp9, false), [0x48, 0x40, 0x44]);
    let whole = packets(&info(Codec::Vp9), &frame(vec![7; 10], true));
    assert_eq!((whole.len(), whole[0][0], whole[0].len()), (1, 0x0c, 11));
}

#[test]
fn a_frame_is_packetized_once() {
    let track = h264_track(&[0x67], &[0x68]);
    let frame = frame(with_lengths(&[unit(5, 5_000)]), true);
    assert!(Arc::ptr_eq(&packets(&track, &frame), &packets(&track, &frame)));
}

proptest! {
    #[test]
    fn what_a_receiver_puts_together_is_what_was_there(
        units in prop::collection::vec((1u8..=5, 1usize..6_000), 0..6), key: bool,
    ) {
        let track = h264_track(&[0x67, 1], &[0x68, 2]);
        let units: Vec<Vec<u8>> = units.into_iter().map(|(kind, size)| unit(kind, size)).collect();
        let packets = packets(&track, &frame(with_lengths(&units), key));
        prop_assert!(packets.iter().all(|p| p.len() <= PAYLOAD_MAX && !p.is_empty()));
        let mut expected = units;
        if key && !expected.is_empty() {
            expected.splice(0..0, [vec![0x67, 1], vec![0x68, 2]]);
        }
        prop_assert_eq!(depacketize(&packets), expected);
    }

    #[test]
    fn no_bytes_make_it_panic(data in prop::collection::vec(any::<u8>(), 0..4_000), key: bool) {
        for codec in [Codec::H264, Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::Opus] {
            let parameters = Parameters::H264 {
                sps: Bytes::from_static(&[0x67]), pps: Bytes::new(), width: 0, height: 0, reorder: 0,
            };
            let _ = packets(&track(codec, parameters), &frame(data.clone(), key));
        }
    }
}
