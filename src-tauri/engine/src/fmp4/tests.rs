use bytes::BytesMut;
use proptest::prelude::*;

use super::clips::{Clip, boxes, decoded, read_back};
use super::*;
use crate::media::Parameters;
use crate::media::h264::{Sps, Vui};

fn h265_sps() -> Vec<u8> {
    // Main profile, level 3.1, progressive: nal header, ids, profile_tier_level, and the picture's size.
    let hex = "420101016000000300900000030000030 05da00280802d165959a4932bc05a020000030002000003003c10";
    let digits: Vec<u8> = hex.bytes().filter_map(|c| (c as char).to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[test]
fn codec_strings_are_exact() {
    let avc = nal::H264::parse(&[0x67, 0x64, 0x00, 0x1f, 0xac]).expect("an SPS");
    assert_eq!((avc.profile, avc.compatibility, avc.level), (0x64, 0, 0x1f));
    let track = |codec, parameters| TrackInfo {
        id: 0,
        kind: TrackKind::Video,
        codec,
        timescale: 90_000,
        parameters,
        generation: 0,
        note: None,
    };
    let name = |track: &TrackInfo| entry::describe(track).map(|(_, name)| name).expect("a name");
    let set = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
    assert_eq!(
        name(&track(
            Codec::H265,
            Parameters::H265 {
                vps: set(&[0x40, 1, 0xc]),
                sps: h265_sps().into(),
                pps: set(&[0x44, 1]),
                width: 1280,
                height: 720,
                reorder: 0
            }
        )),
        "hvc1.1.6.L93.90"
    );
    assert_eq!(
        name(&track(
            Codec::H264,
            Parameters::H264 {
                sps: set(&[0x67, 0x42, 0xc0, 0x1e]),
                pps: set(&[0x68]),
                width: 640,
                height: 360,
                reorder: 0
            }
        )),
        "avc1.42c01e"
    );
    let aac = |config: &[u8]| {
        name(&track(Codec::Aac, Parameters::Aac { config: set(config), sample_rate: 48_000, channels: 2 }))
    };
    assert_eq!(aac(&[0x11, 0x90]), "mp4a.40.2");
    assert_eq!(aac(&[0x2b, 0x92, 0x08, 0x00]), "mp4a.40.5");
    assert_eq!(aac(&[0xf9, 0x46, 0x40]), "mp4a.40.42", "the escape for object types above 31");
    let hd = Parameters::Video { width: 1920, height: 1080 };
    assert_eq!(name(&track(Codec::Vp9, hd.clone())), "vp09.00.40.08");
    assert_eq!(name(&track(Codec::Av1, hd)), "av01.0.08M.08");
}

fn vui(sps: &[u8]) -> Vui {
    Sps::parse(sps).and_then(|set| set.vui).expect("readable")
}

#[test]
fn an_sps_with_another_frame_rate_is_the_same_otherwise() {
    for clip in [Clip::h264(), Clip::h264_b_frames()] {
        let Parameters::H264 { sps, .. } = &clip.tracks[0].parameters else { panic!("H.264") };
        // The second has zeros that must be escaped.
        for rate in [(1, 30), (18_000, 180_000), (u32::MAX, 1)] {
            let changed = nal::for_live(sps, rate, 0).expect("an SPS");
            assert_eq!(vui(&changed).rate, Some(rate));
            assert_eq!(nal::H264::parse(&changed), nal::H264::parse(sps));
            let before = vui(sps);
            assert_eq!(before.reorder, Some(clip.tracks[0].reorder()), "kept as it is");
            let (units, scale) = before.rate.expect("x264 writes one");
            let back = nal::for_live(&changed, (units, scale), 0).expect("an SPS");
            assert_eq!(back.len(), sps.len(), "there and back");
        }
        let mut other = clip.clone();
        if let Parameters::H264 { sps, .. } = &mut other.tracks[0].parameters {
            *sps = nal::for_live(sps, (1, 10), 0).expect("an SPS").into();
        }
        decodes_like_its_source(&other, &["v"]);
    }
}

#[test]
fn an_sps_without_vui_gets_one_that_says_rate_and_order() {
    for clip in [Clip::h264(), Clip::h264_b_frames()] {
        let reorder = clip.tracks[0].reorder();
        let Parameters::H264 { sps, .. } = &clip.tracks[0].parameters else { panic!("H.264") };
        let bare = nal::without_vui(sps);
        assert_eq!(Sps::parse(&bare).expect("an SPS").vui, None);
        let told = nal::for_live(&bare, (1, 50), reorder).expect("an SPS");
        let vui = vui(&told);
        assert_eq!((vui.rate, vui.matrix, vui.reorder), (Some((1, 50)), 2, Some(reorder)));
        assert_eq!(nal::for_live(&told, (1, 50), 5), Some(told.clone()), "what is said stays");
        assert_eq!(nal::H264::parse(&told), nal::H264::parse(sps));
        let mut other = clip.clone();
        if let Parameters::H264 { sps, .. } = &mut other.tracks[0].parameters {
            *sps = told.into();
        }
        decodes_like_its_source(&other, &["v"]);
    }
}

#[test]
fn codecs_without_a_place_in_mp4_are_refused_by_name() {
    let track = |codec, parameters| TrackInfo {
        id: 0,
        kind: TrackKind::Audio,
        codec,
        timescale: 8_000,
        parameters,
        generation: 0,
        note: None,
    };
    let g711 = track(Codec::Pcmu, Parameters::Audio { sample_rate: 8_000, channels: 1 });
    assert!(matches!(Muxer::accepts(&g711), Err(MuxError::Codec(Codec::Pcmu))));
    let unknown = track(Codec::H264, Parameters::Unknown);
    assert!(matches!(Muxer::new(&[unknown]), Err(MuxError::Parameters(Codec::H264))));
    assert!(matches!(Muxer::new(&[]), Err(MuxError::NoTrack)));
}

/// Muxes a clip as a recorder would, `each` frames to a fragment.
fn muxed(clip: &Clip, each: usize) -> (Muxer, Vec<Sample>, Bytes) {
    let mut muxer = Muxer::new(&clip.tracks).expect("codecs that fit");
    let mut clocks: Vec<DecodeClock> =
        clip.tracks.iter().map(|t| DecodeClock::new(t.reorder(), t.timescale)).collect();
    let lead = |track: usize| {
        let seconds = clip
            .tracks
            .iter()
            .zip(&clocks)
            .map(|(t, c)| crate::media::rescale(c.lead(), t.timescale, 1_000_000))
            .max();
        crate::media::rescale(seconds.expect("a track"), 1_000_000, clip.tracks[track].timescale)
    };
    let leads: Vec<i64> = (0..clip.tracks.len()).map(lead).collect();
    let samples: Vec<Sample> = clip
        .frames
        .iter()
        .map(|frame| {
            let track = usize::from(frame.track);
            let stamp = clocks[track].stamp(frame.pts + leads[track]);
            Sample {
                track: frame.track,
                decode: u64::try_from(stamp.decode).expect("the lead keeps it positive"),
                duration: 1,
                offset: i32::try_from(stamp.offset).expect("small"),
                key: frame.key,
                data: frame.data.clone(),
            }
        })
        .collect();
    let mut stream = BytesMut::from(&muxer.init().expect("an init segment")[..]);
    for chunk in samples.chunks(each) {
        stream.extend_from_slice(&muxer.fragment(chunk).expect("a fragment").to_bytes());
    }
    (muxer, samples, stream.freeze())
}

fn decodes_like_its_source(clip: &Clip, tracks: &[&str]) {
    for each in [1, 25] {
        let (muxer, _, stream) = muxed(clip, each);
        for track in tracks {
            let hashes = |bytes: &[u8]| -> Vec<String> {
                decoded(bytes, track).into_iter().map(|(_, hash)| hash).collect()
            };
            let (ours, theirs) = (hashes(&stream), hashes(&clip.file));
            assert!(ours.len() > 90, "{}: {} decoded", muxer.mime(), ours.len());
            // An edit list cuts an encoder's start off the source; a stream that is joined has none.
            assert!(ours.ends_with(&theirs), "{} track {track}, {each} frames a fragment", muxer.mime());
            assert!(ours.len() <= theirs.len() + 1);
        }
    }
}

#[test]
fn ffmpeg_decodes_fragments_to_what_the_source_decodes_to() {
    decodes_like_its_source(&Clip::h264(), &["v"]);
    decodes_like_its_source(&Clip::h265(), &["v"]);
    decodes_like_its_source(&Clip::h264_b_frames(), &["v"]);
}

#[test]
fn ffmpeg_decodes_the_codecs_of_phones_and_sound() {
    decodes_like_its_source(&Clip::h264_aac(), &["v", "a"]);
    let vp9 = ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"];
    // Opus keeps silence for the encoder's start, which a joined stream has not: hashes differ there.
    let clip = Clip::made(&vp9, &["-c:a", "libopus"]);
    decodes_like_its_source(&clip, &["v"]);
    let (_, _, stream) = muxed(&clip, 10);
    assert!(decoded(&stream, "a").len() >= 200);
}

#[test]
fn b_frames_keep_their_presentation_times() {
    let clip = Clip::h264_b_frames();
    assert!(clip.tracks[0].reorder() >= 2, "the clip has nested B-frames: {}", clip.tracks[0].reorder());
    let (_, _, stream) = muxed(&clip, 1);
    let shown: Vec<i64> = decoded(&stream, "v").into_iter().map(|(pts, _)| pts).collect();
    let steps: Vec<i64> = shown.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(steps.iter().all(|&step| step == steps[0]), "{shown:?}");
}

#[test]
fn the_init_segment_names_every_track() {
    let clip = Clip::h264_aac();
    let muxer = Muxer::new(&clip.tracks).expect("codecs that fit");
    let init = muxer.init().expect("an init segment");
    let kinds: Vec<[u8; 4]> = boxes(&init).map(|top| top.kind).collect();
    assert_eq!(kinds, [*b"ftyp", *b"moov"]);
    let moov = boxes(&init).find_map(|top| top.moov).expect("a moov");
    assert_eq!(moov.trak.len(), 2);
    assert_eq!(moov.mvex.expect("fragments follow").trex.len(), 2);
    assert!(muxer.mime().starts_with("video/mp4; codecs=\"avc1."), "{}", muxer.mime());
    assert!(muxer.mime().ends_with(", mp4a.40.2\""), "{}", muxer.mime());
}

#[test]
fn payload_is_not_copied_into_a_chain() {
    let clip = Clip::h264();
    let mut muxer = Muxer::new(&clip.tracks).expect("fits");
    let data = clip.frames[0].data.clone();
    let sample = Sample { track: 0, decode: 0, duration: 1, offset: 0, key: true, data: data.clone() };
    let fragment = muxer.fragment(&[sample]).expect("a fragment");
    let last = fragment.chunks().last().expect("payload");
    assert_eq!(last.as_ptr(), data.as_ptr());
    assert_eq!(fragment.size(), fragment.to_bytes().len());
}

fn two_tracks() -> Vec<TrackInfo> {
    let track = |id, kind, codec, timescale, parameters| TrackInfo {
        id,
        kind,
        codec,
        timescale,
        parameters,
        generation: 0,
        note: None,
    };
    vec![
        track(0, TrackKind::Video, Codec::Vp9, 90_000, Parameters::Video { width: 64, height: 64 }),
        track(
            1,
            TrackKind::Audio,
            Codec::Opus,
            48_000,
            Parameters::Audio { sample_rate: 48_000, channels: 1 },
        ),
    ]
}

proptest! {
    #[test]
    fn every_fragment_is_read_back_as_it_was_given(
        steps in prop::collection::vec(
            (0u8..2, 1u32..200_000, -90_000i32..90_000, any::<bool>(), 0usize..300), 1..60),
        begin in 0u64..(1 << 40)
    ) {
        let mut muxer = Muxer::new(&two_tracks()).expect("fits");
        let mut at = [begin, begin];
        let samples: Vec<Sample> = steps.iter().enumerate().map(|(n, &(track, duration, offset, key, size))| {
            let clock = &mut at[usize::from(track)];
            let decode = *clock;
            *clock += u64::from(duration);
            let data = Bytes::from(vec![n as u8; size]);
            Sample { track, decode, duration, offset, key, data }
        }).collect();
        let bytes = muxer.fragment(&samples).expect("a fragment").to_bytes();
        let read = read_back(&bytes);
        prop_assert_eq!(read.len(), samples.len());
        for track in 0..2 {
            let ours: Vec<_> = samples.iter().filter(|s| s.track == track).collect();
            let theirs: Vec<_> = read.iter().filter(|s| s.track == track).collect();
            for (a, b) in ours.iter().zip(theirs) {
                prop_assert_eq!(i64::try_from(a.decode).expect("sane"), b.decode);
                prop_assert_eq!(b.decode + i64::from(a.offset), b.shown);
                prop_assert_eq!(i64::from(a.duration), b.duration);
                prop_assert_eq!((a.key, &a.data), (b.key, &b.data));
            }
        }
    }

    #[test]
    fn hostile_parameter_sets_are_refused_or_written_but_never_panic(
        sps in prop::collection::vec(any::<u8>(), 0..80), config in prop::collection::vec(any::<u8>(), 0..80)
    ) {
        nal::H264::parse(&sps);
        nal::H265::parse(&sps);
        nal::for_live(&sps, (1, 50), 0);
        let sps = Bytes::from(sps);
        let pps = Bytes::from(config.clone());
        for (codec, parameters) in [
            (Codec::H264, Parameters::H264 { sps: sps.clone(), pps: pps.clone(), width: 0, height: 0, reorder: 0 }),
            (Codec::H265, Parameters::H265 {
                vps: pps.clone(), sps, pps, width: u16::MAX, height: u16::MAX, reorder: 255
            }),
            (Codec::Aac, Parameters::Aac { config: config.into(), sample_rate: u32::MAX, channels: 255 }),
        ] {
            let track = TrackInfo {
                id: 255, kind: TrackKind::Video, codec, timescale: 1, parameters, generation: 0, note: None
            };
            if let Ok(muxer) = Muxer::new(&[track]) {
                let init = muxer.init().expect("what was accepted is written");
                prop_assert_eq!(boxes(&init).count(), 2);
            }
        }
    }
}
