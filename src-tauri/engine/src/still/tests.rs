use std::sync::Arc;
use std::time::SystemTime;

use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use crate::fmp4::clips::{Clip, ffmpeg_file};
use crate::media::{Parameters, TrackKind};

fn key(clip: &Clip) -> (TrackInfo, Frame) {
    let frame = clip.frames.iter().find(|frame| frame.key && frame.track == 0).expect("a key frame");
    (clip.tracks[0].clone(), frame.frame(Instant::now()))
}

fn made(data: Bytes) -> Frame {
    Frame {
        track: 0,
        pts: 0,
        arrival: Instant::now(),
        wall: SystemTime::UNIX_EPOCH,
        key: true,
        generation: 0,
        loss: 0,
        data,
        packets: Default::default(),
    }
}

fn clip(size: &str, codec: &[&str]) -> Clip {
    let source = format!("testsrc2=size={size}:rate=1:duration=1,format=yuv420p");
    let mut args = vec!["-f", "lavfi", "-i", &source];
    args.extend(codec);
    Clip::read(&ffmpeg_file(&args, &[]))
}

const H264: &[&str] = &["-c:v", "libx264", "-qp", "20"];
const H265: &[&str] = &["-c:v", "libx265", "-x265-params", "log-level=none:qp=20", "-tag:v", "hvc1"];

/// The first picture as ffmpeg decodes it, as RGB. `filter` says what the samples mean where the stream
/// does not.
fn reference(file: &[u8], filter: &str) -> Vec<u8> {
    let args = ["-i", "INPUT", "-frames:v", "1", "-vf", filter, "-f", "rawvideo", "-pix_fmt", "rgb24"];
    ffmpeg_file(&args, file).to_vec()
}

fn rgb(jpeg: &[u8]) -> image::RgbImage {
    image::load_from_memory(jpeg).expect("a readable JPEG").into_rgb8()
}

/// Peak signal to noise ratio of brightness, in dB. Colour edges differ by how chroma is enlarged.
fn psnr(ours: &[u8], theirs: &[u8]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let bright = |p: &[u8]| 0.299 * f64::from(p[0]) + 0.587 * f64::from(p[1]) + 0.114 * f64::from(p[2]);
    let pairs = ours.chunks_exact(3).zip(theirs.chunks_exact(3));
    let squares: f64 = pairs.map(|(a, b)| (bright(a) - bright(b)).powi(2)).sum();
    10.0 * (255.0f64.powi(2) / (squares / (ours.len() / 3) as f64).max(1e-9)).log10()
}

#[test]
fn a_still_looks_like_what_ffmpeg_decodes() {
    let full =
        &[H264, &["-vf", "scale=out_range=full", "-color_range", "pc", "-pix_fmt", "yuvj420p"]].concat();
    let hd = &[H264, &["-vf", "scale=out_color_matrix=bt709", "-colorspace", "bt709"]].concat();
    let hd265 = &[H265, &["-vf", "scale=out_color_matrix=bt709", "-colorspace", "bt709"]].concat();
    let ten = &[H265, &["-pix_fmt", "yuv420p10le"]].concat();
    for (name, size, codec) in [
        ("H.264", "640x360", H264),
        ("H.264 of full range", "640x360", full),
        ("H.264 in BT.709", "1280x720", hd),
        ("H.264 of an odd size", "322x182", H264),
        ("H.265", "640x360", H265),
        ("H.265 in BT.709", "1280x720", hd265),
        ("H.265 with ten bits", "640x360", ten),
    ] {
        let clip = clip(size, codec);
        let (track, frame) = key(&clip);
        let still = rgb(&jpeg(&track, &frame, None).expect("a still"));
        assert_eq!(track.dimensions().map(|(w, h)| (u32::from(w), u32::from(h))), Some(still.dimensions()));
        let quality =
            psnr(still.as_raw(), &reference(&clip.file, "scale=flags=accurate_rnd+full_chroma_int"));
        assert!(quality > 38.0, "{name}: {quality:.1} dB");
        // A wrong range or matrix shifts the mean long before it ruins this figure.
        let theirs = reference(&clip.file, "scale=flags=accurate_rnd+full_chroma_int");
        for channel in 0..3 {
            let mean = |bytes: &[u8]| {
                let of = bytes.iter().skip(channel).step_by(3);
                of.clone().map(|&b| f64::from(b)).sum::<f64>() / of.count() as f64
            };
            let shift = mean(still.as_raw()) - mean(&theirs);
            assert!(shift.abs() < 0.5, "{name}: channel {channel} is off by {shift:.2}");
        }
    }
}

#[test]
fn a_still_is_made_smaller_and_never_larger() {
    let clip = clip("640x360", H264);
    let (track, frame) = key(&clip);
    for (asked, expected) in [(Some(320), (320, 180)), (Some(1), (16, 9)), (Some(9_999), (640, 360))] {
        let still = rgb(&jpeg(&track, &frame, asked).expect("a still"));
        assert_eq!(still.dimensions(), expected);
    }
    let small = rgb(&jpeg(&track, &frame, Some(160)).expect("a still"));
    let quality = psnr(small.as_raw(), &reference(&clip.file, "scale=160:90:flags=area"));
    assert!(quality > 38.0, "{quality:.1} dB");
}

fn motion_jpeg(data: Bytes) -> (TrackInfo, Frame) {
    let track = TrackInfo {
        id: 0,
        kind: TrackKind::Video,
        codec: Codec::Mjpeg,
        timescale: 90_000,
        parameters: Parameters::Video { width: 640, height: 360 },
        generation: 0,
        note: None,
    };
    (track, made(data))
}

#[test]
fn motion_jpeg_is_passed_on_and_only_scaled_when_asked() {
    let source = ["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=1:duration=1", "-c:v", "mjpeg"];
    let (track, frame) = motion_jpeg(ffmpeg_file(&[&source[..], &["-f", "image2pipe"]].concat(), &[]));
    assert_eq!(jpeg(&track, &frame, None).expect("a still"), frame.data);
    assert_eq!(jpeg(&track, &frame, Some(640)).expect("a still"), frame.data);
    let small = rgb(&jpeg(&track, &frame, Some(320)).expect("a still"));
    assert_eq!(small.dimensions(), (320, 180));
    let whole = rgb(&frame.data);
    let shrunk = image::imageops::thumbnail(&whole, 320, 180);
    let quality = psnr(small.as_raw(), shrunk.as_raw());
    assert!(quality > 38.0, "{quality:.1} dB");
}

#[test]
fn what_cannot_be_decoded_says_why() {
    let (mut track, frame) = key(&clip("64x64", H264));
    let Parameters::H264 { sps, pps, .. } = track.parameters.clone() else { panic!("H.264") };
    track.parameters = Parameters::H264 { sps, pps, width: 16_384, height: 16, reorder: 0 };
    assert_eq!(jpeg(&track, &frame, None), Err(StillError::TooLarge { width: 16_384, height: 16 }));
    track.parameters = Parameters::Unknown;
    assert_eq!(jpeg(&track, &frame, None), Err(StillError::Parameters));
    track.codec = Codec::Vp9;
    assert_eq!(jpeg(&track, &frame, None), Err(StillError::Codec(Codec::Vp9)));
    let (track, frame) = motion_jpeg(Bytes::from_static(b"\xff\xd8not a picture"));
    assert!(matches!(jpeg(&track, &frame, None), Err(StillError::Decoder(_))));
}

#[test]
fn damaged_pictures_are_errors_or_pictures_but_never_a_panic() {
    for clip in [clip("128x128", H264), clip("128x128", H265)] {
        let (track, frame) = key(&clip);
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(150));
        let damage = (
            prop::collection::vec((0..frame.data.len(), any::<u8>()), 0..12),
            0..=frame.data.len(),
            prop::collection::vec((0usize..64, any::<u8>()), 0..4),
        );
        let run = runner.run(&damage, |(bytes, cut, set)| {
            let mut data = frame.data.to_vec();
            for (at, value) in bytes {
                data[at] = value;
            }
            data.truncate(cut);
            let mut track = track.clone();
            if let Parameters::H264 { sps, .. } | Parameters::H265 { sps, .. } = &mut track.parameters {
                let mut broken = sps.to_vec();
                for (at, value) in set {
                    let at = at % broken.len();
                    broken[at] = value;
                }
                *sps = broken.into();
            }
            // Contained panics are counted as a defect of the decoder, not of ours.
            let _ = jpeg(&track, &made(data.into()), Some(64));
            Ok(())
        });
        run.expect("no panic");
    }
}

#[tokio::test]
async fn many_who_ask_for_the_same_still_share_one_decode() {
    let (track, frame) = key(&clip("1280x720", H264));
    let frame = Arc::new(frame);
    let stills = Arc::new(Stills::new(Decoders::new(1)));
    let asked: Vec<_> = (0..16)
        .map(|_| {
            let (stills, track, frame) = (Arc::clone(&stills), track.clone(), Arc::clone(&frame));
            tokio::spawn(async move { stills.jpeg(&track, &frame, Some(320)).await })
        })
        .collect();
    let mut got = Vec::new();
    for task in asked {
        got.push(task.await.expect("no panic").expect("a still"));
    }
    assert!(got.iter().all(|jpeg| jpeg.as_ptr() == got[0].as_ptr()), "one buffer for all");
    let other = stills.jpeg(&track, &frame, Some(160)).await.expect("a still");
    assert_ne!(other, got[0]);
    // A new key frame makes the old stills forgotten.
    let next = Arc::new(made(frame.data.clone()));
    let again = stills.jpeg(&track, &next, Some(320)).await.expect("a still");
    assert_ne!(again.as_ptr(), got[0].as_ptr());
}
