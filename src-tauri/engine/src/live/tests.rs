use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use crate::fmp4::clips::{Clip, ClipFrame, Read, boxes, decoded, read_back};
use crate::hub::{Limits, Publisher, Slot};
use crate::media::{Parameters, rescale};

fn tracks(clip: &Clip) -> Arc<[TrackInfo]> {
    Arc::from(clip.tracks.as_slice())
}

/// A test's viewer, and all that it got.
struct Viewer {
    mse: Mse,
    clip: Clip,
    got: Vec<MseMessage>,
}

impl Viewer {
    fn of(slot: &Slot, clip: &Clip) -> Self {
        Self { mse: Mse::new(slot, Sound::On), clip: clip.clone(), got: Vec::new() }
    }

    /// Takes what is there now; true when the camera was removed.
    async fn drain(&mut self) -> bool {
        // Under the paused clock time moves only when nothing else can.
        while let Ok(message) = tokio::time::timeout(Duration::from_micros(1), self.mse.next()).await {
            let Some(message) = message else { return true };
            self.got.push(message);
        }
        false
    }

    fn take(&mut self) -> Vec<MseMessage> {
        std::mem::take(&mut self.got)
    }

    fn samples(&self) -> Vec<Read> {
        samples(&self.got)
    }

    fn timescale(&self, track: u8) -> u32 {
        self.clip.tracks[usize::from(track)].timescale
    }

    fn millis(&self, sample: &Read) -> i64 {
        rescale(sample.shown, self.timescale(sample.track), 1_000)
    }
}

fn samples(messages: &[MseMessage]) -> Vec<Read> {
    let fragments = messages.iter().filter_map(|message| match message {
        MseMessage::Fragment(bytes) => Some(bytes),
        _ => None,
    });
    fragments.flat_map(read_back).collect()
}

fn kinds(messages: &[MseMessage]) -> String {
    messages
        .iter()
        .map(|message| match message {
            MseMessage::Mime(_) => 'M',
            MseMessage::Init(_) => 'I',
            MseMessage::Fragment(_) => 'f',
            MseMessage::State(MseState::Live) => 'L',
            MseMessage::State(MseState::Stalled) => 'S',
            MseMessage::State(MseState::SourceLost) => 'X',
            MseMessage::State(MseState::NotPlayable(_)) => 'N',
        })
        .collect()
}

/// What a browser asks of decode times, whatever happened to the source.
fn check_decode_times(samples: &[Read]) {
    let mut last: HashMap<u8, (i64, i64)> = HashMap::new();
    for sample in samples {
        assert!(sample.duration > 0);
        if let Some((decode, duration)) = last.insert(sample.track, (sample.decode, sample.duration)) {
            let distance = sample.decode - decode;
            assert!(distance > 0, "decode time {} after {decode}", sample.decode);
            assert!(distance <= 2 * duration, "{distance} after a frame of {duration}: a break to browsers");
        }
    }
}

/// Pictures follow each other without holes and never go back.
fn check_pictures(samples: &[Read]) {
    let shown: Vec<&Read> = samples.iter().filter(|sample| sample.track == 0).collect();
    for pair in shown.windows(2) {
        let hole = pair[1].shown - (pair[0].shown + pair[0].duration);
        assert!(hole <= 768, "a hole of {hole} ticks at {}", pair[1].shown);
        assert!(pair[1].shown >= pair[0].shown, "{} after {}", pair[1].shown, pair[0].shown);
    }
}

/// Sends frames of a clip by their own pace; `each` after every one.
async fn play(publisher: &Publisher, frames: &[ClipFrame], viewer: &mut Viewer) {
    let mut at = frames.first().map_or(0.0, |frame| frame.at);
    for frame in frames {
        tokio::time::advance(Duration::from_secs_f64((frame.at - at).max(0.0))).await;
        at = frame.at;
        publisher.push(frame.frame(Instant::now()));
        viewer.drain().await;
    }
}

fn push_all(publisher: &Publisher, frames: &[ClipFrame]) {
    for frame in frames {
        publisher.push(frame.frame(Instant::now()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_viewer_gets_the_cached_pictures_as_one_burst_and_is_at_the_live_edge_after_it() {
    let clip = Clip::h264();
    let slot = Slot::new(Limits::default());
    let publisher = slot.publish(tracks(&clip)).expect("free");
    push_all(&publisher, &clip.frames[..70]);
    let mut viewer = Viewer::of(&slot, &clip);
    viewer.drain().await;
    assert_eq!(kinds(&viewer.got), "MLIff");
    assert_eq!(samples(&viewer.got[3..4]).len(), 1, "the key frame alone, for GStreamer");
    let burst = viewer.samples();
    assert_eq!(burst.len(), 20, "frames 50 to 69");
    assert!(burst[0].key);
    assert_eq!((burst[0].decode, burst[0].shown), (0, 0));
    assert_eq!(viewer.millis(&burst[19]), 100, "squeezed, the newest is a tenth of a second away");
    play(&publisher, &clip.frames[70..], &mut viewer).await;
    assert_eq!(kinds(&viewer.got), format!("MLI{}", "f".repeat(2 + 30)), "one fragment a frame");
    let all = viewer.samples();
    assert_eq!(viewer.millis(&all[49]), 100 + 30 * 40, "then in real time");
    check_decode_times(&all);
    check_pictures(&all);
}

#[tokio::test(start_paused = true)]
async fn what_a_viewer_gets_is_decoded_without_a_fault() {
    for clip in [Clip::h264(), Clip::h265(), Clip::h264_b_frames(), Clip::h264_aac()] {
        let slot = Slot::new(Limits::default());
        let publisher = slot.publish(tracks(&clip)).expect("free");
        let half = clip.frames.iter().position(|f| f.at > 1.5).expect("long enough");
        push_all(&publisher, &clip.frames[..half]);
        let mut viewer = Viewer::of(&slot, &clip);
        viewer.drain().await;
        play(&publisher, &clip.frames[half..], &mut viewer).await;
        let mut stream = Vec::new();
        for message in &viewer.got {
            if let MseMessage::Init(bytes) | MseMessage::Fragment(bytes) = message {
                stream.extend_from_slice(bytes);
            }
        }
        let hashes = |bytes: &[u8]| decoded(bytes, "v").into_iter().map(|(_, h)| h).collect::<Vec<_>>();
        let (ours, theirs) = (hashes(&stream), hashes(&clip.file));
        assert!(ours.len() >= 74, "{} pictures", ours.len());
        assert!(theirs.ends_with(&ours));
        check_decode_times(&viewer.samples());
    }
}

#[tokio::test(start_paused = true)]
async fn b_frames_are_sent_at_once_and_shown_in_their_order() {
    let clip = Clip::h264_b_frames();
    let slot = Slot::new(Limits::default());
    let publisher = slot.publish(tracks(&clip)).expect("free");
    let mut viewer = Viewer::of(&slot, &clip);
    play(&publisher, &clip.frames, &mut viewer).await;
    let all = viewer.samples();
    assert_eq!(all.len(), 100, "no frame waits for the next");
    check_decode_times(&all);
    let mut shown: Vec<i64> = all.iter().map(|sample| viewer.millis(sample)).collect();
    assert!(!shown.is_sorted());
    shown.sort_unstable();
    assert!(shown.windows(2).all(|pair| pair[1] - pair[0] == 40), "{shown:?}");
}

#[tokio::test(start_paused = true)]
async fn sound_travels_with_pictures_and_stays_in_step() {
    let clip = Clip::h264_aac();
    let slot = Slot::new(Limits::default());
    let publisher = slot.publish(tracks(&clip)).expect("free");
    let half = clip.frames.iter().position(|f| f.at > 1.5).expect("long enough");
    push_all(&publisher, &clip.frames[..half]);
    let mut viewer = Viewer::of(&slot, &clip);
    viewer.drain().await;
    play(&publisher, &clip.frames[half..], &mut viewer).await;
    let all = viewer.samples();
    for message in &viewer.got {
        let of = samples(std::slice::from_ref(message));
        let lone = of.len() == 1 && of[0].track == 1;
        assert!(!lone, "a packet of sound waits for a picture or for more sound");
    }
    check_decode_times(&all);
    // The distance between picture and sound at the same moment is the camera's.
    let offset = |track: u8| {
        let newest = all.iter().rfind(|s| s.track == track).expect("both kinds");
        let sent = clip.frames.iter().find(|f| f.data == newest.data).expect("sent");
        viewer.millis(newest) - rescale(sent.pts, viewer.timescale(track), 1_000)
    };
    assert!((offset(0) - offset(1)).abs() <= 1, "{} and {}", offset(0), offset(1));
    // The oldest sound begins where the picture does.
    let first = all.iter().find(|s| s.track == 1).expect("sound");
    assert!((0..=22).contains(&viewer.millis(first)), "{}", viewer.millis(first));
}

/// Sound without holes, as long as the picture; a packet may be a little off.
fn check_sound(samples: &[Read], timescale: u32) {
    let sound: Vec<&Read> = samples.iter().filter(|sample| sample.track == 1).collect();
    for pair in sound.windows(2) {
        let hole = pair[1].shown - (pair[0].shown + pair[0].duration);
        assert!(hole.abs() < rescale(2, 1_000, timescale), "{hole} ticks: {pair:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn sound_that_is_lost_or_never_comes_does_not_stop_the_picture() {
    let clip = Clip::h264_aac();
    let stopped = |f: &ClipFrame| f.track == 1 && f.at > 2.0;
    let lost = |f: &ClipFrame| f.track == 1 && (f.at * 3.0) as u32 % 2 == 1;
    let never = |f: &ClipFrame| f.track == 1;
    let kinds: [&dyn Fn(&ClipFrame) -> bool; 3] = [&stopped, &lost, &never];
    for missing in kinds {
        let mut frames = clip.frames.clone();
        frames.retain(|frame| !missing(frame));
        let slot = Slot::new(Limits::default());
        let publisher = slot.publish(tracks(&clip)).expect("free");
        let mut viewer = Viewer::of(&slot, &clip);
        play(&publisher, &frames, &mut viewer).await;
        let all = viewer.samples();
        check_decode_times(&all);
        check_pictures(&all);
        check_sound(&all, viewer.timescale(1));
        let end = |track: u8| {
            let last = all.iter().rfind(|sample| sample.track == track).expect("both kinds");
            viewer.millis(last)
        };
        assert!(end(0) - end(1) < 400, "{} of picture, {} of sound", end(0), end(1));
        // What came is there.
        let sent = frames.iter().filter(|f| f.track == 1 && f.at < 3.9).count();
        let played = all.iter().filter(|s| s.track == 1 && s.data.len() > 8).count();
        assert!(played * 10 >= sent * 8, "{played} of {sent}");
    }
}

#[tokio::test(start_paused = true)]
async fn sound_that_is_always_late_is_heard() {
    let clip = Clip::h264_aac();
    let slot = Slot::new(Limits::default());
    let publisher = slot.publish(tracks(&clip)).expect("free");
    let mut frames = clip.frames.clone();
    for frame in frames.iter_mut().filter(|frame| frame.track == 1) {
        frame.at += 0.6;
    }
    frames.sort_by(|a, b| a.at.total_cmp(&b.at));
    let mut viewer = Viewer::of(&slot, &clip);
    play(&publisher, &frames, &mut viewer).await;
    let all = viewer.samples();
    check_decode_times(&all);
    check_sound(&all, viewer.timescale(1));
    let real = all.iter().filter(|s| s.track == 1 && s.data.len() > 8).count();
    assert!(real > 130, "{real} of 188 packets");
}

#[test]
fn silence_is_decoded_as_silence() {
    for (codec, channels) in [("aac", "1"), ("aac", "2"), ("libopus", "1"), ("libopus", "2")] {
        let video = ["-c:v", "libx264", "-preset", "ultrafast"];
        let clip = Clip::made(&video, &["-c:a", codec, "-ac", channels]);
        let silence = super::silence::Silence::of(&clip.tracks[1]).expect("known");
        let mut muxer = crate::fmp4::Muxer::new(&clip.tracks[1..]).expect("fits");
        let mut samples = Vec::new();
        let mut decode = 0u64;
        for n in 0..40u8 {
            samples.push(crate::fmp4::Sample {
                track: 1,
                decode,
                duration: u32::try_from(silence.ticks).expect("small"),
                offset: 0,
                key: true,
                data: if n < 3 {
                    clip.frames.iter().find(|f| f.track == 1).expect("sound").data.clone()
                } else {
                    silence.data.clone()
                },
            });
            decode += u64::try_from(silence.ticks).expect("positive");
        }
        let mut stream = muxer.init().expect("init").to_vec();
        stream.extend_from_slice(&muxer.fragment(&samples).expect("a fragment").to_bytes());
        let args = ["-i", "INPUT", "-f", "s16le", "-ac", "1"];
        let sound = crate::fmp4::clips::ffmpeg_file(&args, &stream);
        let tail: Vec<i16> =
            sound.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).skip(48_000 * 3 / 10).collect();
        assert!(tail.len() > 10_000, "{codec}: {} samples", tail.len());
        assert!(tail.iter().all(|&s| s.abs() <= 2), "{codec} {channels}");
    }
}

#[tokio::test(start_paused = true)]
async fn sound_alone_is_batched() {
    let mut clip = Clip::h264_aac();
    clip.tracks.remove(0);
    clip.frames.retain(|f| f.track == 1);
    for frame in &mut clip.frames {
        frame.track = 0;
    }
    clip.tracks[0].id = 0;
    let slot = Slot::new(Limits::default());
    let publisher = slot.publish(tracks(&clip)).expect("free");
    let mut viewer = Viewer::of(&slot, &clip);
    play(&publisher, &clip.frames, &mut viewer).await;
    assert_eq!(mime(&clip.tracks), Ok("audio/mp4; codecs=\"mp4a.40.2\"".to_owned()));
    let fragments = kinds(&viewer.got).matches('f').count();
    assert!(fragments * 2 <= clip.frames.len(), "{fragments} for {} packets", clip.frames.len());
    check_decode_times(&viewer.samples());
}

#[tokio::test(start_paused = true)]
async fn who_does_not_listen_gets_the_picture_alone_and_sound_that_is_all_there_is() {
    let clip = Clip::h264_aac();
    let slot = Slot::new(Limits::default());
    let publisher = slot.publish(tracks(&clip)).expect("free");
    let mse = Mse::new(&slot, Sound::Off);
    let mut viewer = Viewer { mse, clip: clip.clone(), got: Vec::new() };
    play(&publisher, &clip.frames, &mut viewer).await;
    let pictures = clip.frames.iter().filter(|frame| frame.track == 0).count();
    let all = viewer.samples();
    assert_eq!((all.len(), all.iter().filter(|s| s.track == 0).count()), (pictures, pictures));
    let Some(MseMessage::Mime(mime)) = viewer.got.first() else { panic!("{:?}", viewer.got) };
    assert!(!mime.contains("mp4a"), "{mime}");

    let mut plan = Plan::of(&clip.tracks[1..]);
    plan.mute();
    assert_eq!(plan.carried.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reconnect_goes_on_without_a_hole_and_without_a_new_init_segment() {
    let clip = Clip::h264_aac();
    let slot = Slot::new(Limits::default());
    let mut viewer = Viewer::of(&slot, &clip);
    for _ in 0..3 {
        let publisher = slot.publish(tracks(&clip)).expect("free");
        play(&publisher, &clip.frames, &mut viewer).await;
        drop(publisher);
        viewer.drain().await;
        tokio::time::advance(Duration::from_secs(20)).await;
    }
    let story = kinds(&viewer.got);
    let short: String = story.chars().filter(|&c| c != 'f').collect();
    assert_eq!(short, "XMLIXLXLX", "{story}");
    let all = viewer.samples();
    check_decode_times(&all);
    check_pictures(&all);
    let pictures: Vec<&Read> = all.iter().filter(|s| s.track == 0).collect();
    assert_eq!(pictures.len(), 300);
    assert!(pictures.iter().all(|s| s.duration == 512 && s.decode == s.shown), "one clock for all three");
}

#[tokio::test(start_paused = true)]
async fn r_k2_a_page_is_told_after_two_seconds_of_silence_and_when_it_is_over() {
    let clip = Clip::h264_aac();
    let slot = Slot::new(Limits::default());
    let publisher = slot.publish(tracks(&clip)).expect("free");
    let mut viewer = Viewer::of(&slot, &clip);
    play(&publisher, &clip.frames, &mut viewer).await;
    viewer.take();
    let silent = Instant::now();
    let told = viewer.mse.next().await;
    assert_eq!(told, Some(MseMessage::State(MseState::Stalled)));
    let after = silent.elapsed();
    assert!((1_900..=2_000).contains(&after.as_millis()), "{after:?}");
    viewer.drain().await;
    assert!(viewer.take().is_empty(), "once");
    // Sound is no picture; the next picture is the end of it.
    let sound = clip.frames.iter().find(|frame| frame.track != 0).expect("it has sound");
    for _ in 0..10 {
        publisher.push(sound.frame(Instant::now()));
        viewer.drain().await;
    }
    assert!(!kinds(&viewer.take()).contains('L'));
    publisher.push(clip.frames[0].frame(Instant::now()));
    viewer.drain().await;
    assert!(kinds(&viewer.take()).starts_with('L'));
    // A source that ends is told at once.
    drop(publisher);
    viewer.drain().await;
    assert_eq!(kinds(&viewer.take()).trim_start_matches('f'), "X");
}

#[tokio::test(start_paused = true)]
async fn sound_that_comes_before_the_first_picture_is_not_played() {
    let clip = Clip::h264_aac();
    let slot = Slot::new(Limits::default());
    let publisher = slot.publish(tracks(&clip)).expect("free");
    let mut viewer = Viewer::of(&slot, &clip);
    // Joined in the middle of a group of pictures, as cameras are.
    let joined = clip.frames.iter().position(|f| f.at > 0.5).expect("long enough");
    play(&publisher, &clip.frames[joined..], &mut viewer).await;
    let all = viewer.samples();
    assert!(all[0].key && all[0].track == 0);
    assert_eq!(all[0].shown, 0);
    check_decode_times(&all);
    check_pictures(&all);
}

#[tokio::test(start_paused = true)]
async fn changed_parameters_bring_a_new_mime_and_init_and_time_goes_on() {
    let (first, second) = (Clip::h264(), Clip::h264_b_frames());
    let slot = Slot::new(Limits::default());
    let mut publisher = slot.publish(tracks(&first)).expect("free");
    let mut viewer = Viewer::of(&slot, &first);
    play(&publisher, &first.frames, &mut viewer).await;
    let before = viewer.samples().last().expect("frames").decode;
    let mut changed = second.tracks.clone();
    changed[0].generation = 1;
    changed[0].timescale = first.tracks[0].timescale;
    publisher.set_tracks(&changed);
    viewer.drain().await;
    viewer.take();
    play(&publisher, &second.frames, &mut viewer).await;
    let after = viewer.samples();
    assert!(after[0].decode > before, "{} after {before}", after[0].decode);
    check_decode_times(&after);
    slot.close();
    assert!(viewer.drain().await, "removed");
}

#[tokio::test(start_paused = true)]
async fn the_same_parameters_announced_again_change_nothing() {
    let clip = Clip::h264();
    let slot = Slot::new(Limits::default());
    let mut publisher = slot.publish(tracks(&clip)).expect("free");
    let mut viewer = Viewer::of(&slot, &clip);
    play(&publisher, &clip.frames[..30], &mut viewer).await;
    viewer.take();
    let mut again = clip.tracks.clone();
    again[0].generation = 1;
    publisher.set_tracks(&again);
    play(&publisher, &clip.frames[30..], &mut viewer).await;
    assert_eq!(kinds(&viewer.got).replace('f', ""), "");
    assert!(viewer.samples()[0].key);
}

#[tokio::test(start_paused = true)]
async fn r_m2_a_slow_page_skips_to_a_key_frame_and_plays_on_without_a_hole() {
    let clip = Clip::h264();
    let slot = Slot::new(Limits::default());
    let publisher = slot.publish(tracks(&clip)).expect("free");
    let mut viewer = Viewer::of(&slot, &clip);
    play(&publisher, &clip.frames[..10], &mut viewer).await;
    let mut nobody = Viewer::of(&Slot::new(Limits::default()), &clip);
    play(&publisher, &clip.frames[10..95], &mut nobody).await;
    viewer.drain().await;
    play(&publisher, &clip.frames[95..], &mut viewer).await;
    let all = viewer.samples();
    assert_eq!(all.len(), 10 + 25, "frames 10 to 74 are gone");
    check_decode_times(&all);
    check_pictures(&all);
    assert!(viewer.millis(all.last().expect("frames")) < 800);
}

#[tokio::test(start_paused = true)]
async fn an_irregular_camera_makes_no_break() {
    let clip = Clip::h264();
    let slot = Slot::new(Limits::default());
    let publisher = slot.publish(tracks(&clip)).expect("free");
    let mut viewer = Viewer::of(&slot, &clip);
    // Frames are missing, and two have the same time.
    let mut frames = clip.frames.clone();
    frames.retain(|f| ![10, 11, 12, 13, 14, 15, 16, 30, 31].contains(&(f.pts / 512)));
    let twin = frames[40].pts;
    frames[41].pts = twin;
    play(&publisher, &frames, &mut viewer).await;
    let all = viewer.samples();
    assert_eq!(all.len(), frames.len());
    check_decode_times(&all);
    check_pictures(&all);
    let kept = all.iter().zip(&frames).filter(|(shown, sent)| shown.shown == sent.pts).count();
    assert_eq!(kept, frames.len() - 2, "but for the pictures after the holes, which are shown early");
}

fn declared(messages: &[MseMessage]) -> Vec<(u32, u32)> {
    let inits = messages.iter().filter_map(|message| match message {
        MseMessage::Init(bytes) => Some(bytes),
        _ => None,
    });
    inits
        .map(|init| {
            let moov = boxes(init).find_map(|top| top.moov).expect("a moov");
            let entry = &moov.trak[0].mdia.minf.stbl.stsd.codecs[0];
            let mp4_atom::Codec::Avc1(entry) = entry else { panic!("H.264") };
            let set = crate::media::h264::Sps::parse(&entry.avcc.sequence_parameter_sets[0]);
            set.and_then(|set| set.vui?.rate).expect("said")
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn the_init_segment_says_the_frame_rate_that_the_camera_has() {
    let clip = Clip::h264();
    let slower = |by: i64| {
        let mut clip = clip.clone();
        for frame in &mut clip.frames {
            frame.pts *= by;
            frame.at *= by as f64;
        }
        clip
    };
    // Known from the cached pictures.
    let slot = Slot::new(Limits::default());
    let publisher = slot.publish(tracks(&clip)).expect("free");
    push_all(&publisher, &slower(5).frames[..20]);
    let mut viewer = Viewer::of(&slot, &clip);
    viewer.drain().await;
    assert_eq!(declared(&viewer.got), [(5 * 512, 25_600)], "5 a second");
    drop(publisher);
    // Found out while it plays; a new init segment comes before a key frame.
    let slot = Slot::new(Limits::default());
    let publisher = slot.publish(tracks(&clip)).expect("free");
    let mut viewer = Viewer::of(&slot, &clip);
    play(&publisher, &slower(5).frames, &mut viewer).await;
    assert_eq!(declared(&viewer.got), [(512, 25_600), (5 * 512, 25_600)]);
    assert_eq!(kinds(&viewer.got).replace('f', ""), "MLIMI");
    let second = kinds(&viewer.got).rfind('I').expect("two");
    assert!(samples(&viewer.got[second..])[0].key);
    check_decode_times(&viewer.samples());
    check_pictures(&viewer.samples());
}

#[tokio::test(start_paused = true)]
async fn a_camera_that_sets_its_clock_is_followed() {
    let clip = Clip::h264();
    for jump in [3_600 * 12_800i64, -3_600 * 12_800] {
        let slot = Slot::new(Limits::default());
        let publisher = slot.publish(tracks(&clip)).expect("free");
        let mut viewer = Viewer::of(&slot, &clip);
        let mut frames = clip.frames.clone();
        for frame in &mut frames[40..] {
            frame.pts += jump;
        }
        play(&publisher, &frames, &mut viewer).await;
        let all = viewer.samples();
        check_decode_times(&all);
        check_pictures(&all);
        assert_eq!(viewer.millis(all.last().expect("frames")), 99 * 40);
    }
}

fn other(codec: Codec, kind: TrackKind, id: u8) -> TrackInfo {
    let parameters = match kind {
        TrackKind::Video => Parameters::Video { width: 640, height: 360 },
        TrackKind::Audio => Parameters::Audio { sample_rate: 8_000, channels: 1 },
    };
    TrackInfo { id, kind, codec, timescale: 8_000, parameters, generation: 0, note: None }
}

#[test]
fn r_m3_what_mse_cannot_carry_is_left_out_by_name() {
    let mut tracks = Clip::h264().tracks;
    tracks.push(other(Codec::Pcma, TrackKind::Audio, 1));
    let plan = Plan::of(&tracks);
    assert_eq!(plan.carried.len(), 1);
    assert_eq!(plan.left_out[0].reason, "Browsers do not play G.711 (A-law) from MP4.");
    assert!(mime(&tracks).expect("playable").starts_with("video/mp4; codecs=\"avc1."));
    let stills = [other(Codec::Mjpeg, TrackKind::Video, 0)];
    let error = mime(&stills).expect_err("not playable");
    assert!(error.reason.starts_with("Motion JPEG"), "{error}");
    // Sound must not hide that the picture cannot be played.
    let aac = Clip::h264_aac().tracks.remove(1);
    let error = mime(&[stills[0].clone(), aac]).expect_err("not playable");
    assert!(error.reason.starts_with("Motion JPEG"), "{error}");
    assert_eq!(mime(&[]).expect_err("nothing").reason, "The camera has no track.");
}

#[tokio::test(start_paused = true)]
async fn a_camera_that_becomes_playable_is_played() {
    let clip = Clip::h264();
    let slot = Slot::new(Limits::default());
    let stills: Arc<[TrackInfo]> = Arc::from([other(Codec::Mjpeg, TrackKind::Video, 0)]);
    let publisher = slot.publish(stills).expect("free");
    let mut viewer = Viewer::of(&slot, &clip);
    viewer.drain().await;
    assert_eq!(kinds(&viewer.got), "N");
    drop(publisher);
    let publisher = slot.publish(tracks(&clip)).expect("free");
    play(&publisher, &clip.frames, &mut viewer).await;
    assert_eq!(kinds(&viewer.got).replace('f', ""), "NXMLI");
}

/// A track of empty pictures, for what does not depend on their content.
fn plain(reorder: u8) -> Clip {
    let sps = Bytes::from_static(&[0x67, 0x42, 0xc0, 0x1e]);
    let pps = Bytes::from_static(&[0x68]);
    let track = TrackInfo {
        id: 0,
        kind: TrackKind::Video,
        codec: Codec::H264,
        timescale: 90_000,
        parameters: Parameters::H264 { sps, pps, width: 64, height: 64, reorder },
        generation: 0,
        note: None,
    };
    Clip { tracks: vec![track], frames: Vec::new(), file: Bytes::new() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a camera does with its times and a viewer with its patience: decode times increase, no
    /// browser sees a break, and everything can be read back.
    #[test]
    fn decode_times_suit_browsers_whatever_happens(
        reorder in 0u8..4,
        steps in prop::collection::vec((0u8..24, -20_000i64..40_000, 0u64..2_000), 1..120)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().start_paused(true).enable_time().build()
            .expect("a runtime");
        runtime.block_on(async {
            let clip = plain(reorder);
            let slot = Slot::new(Limits { bytes: 4_000, leeway: Duration::from_millis(300) });
            let mut viewer = Viewer::of(&slot, &clip);
            let mut publisher = None;
            let mut pts = 0i64;
            for (step, ticks, millis) in steps {
                match step {
                    0 => publisher = None,
                    1 => pts = ticks.saturating_mul(1 << 40),
                    2..=8 => { viewer.drain().await; }
                    _ => {
                        pts = pts.saturating_add(ticks);
                        let frame = ClipFrame {
                            track: 0, pts, key: step < 12, data: Bytes::from(vec![0; 50]), at: 0.0
                        };
                        publisher.get_or_insert_with(|| slot.publish(tracks(&clip)).expect("free"))
                            .push(frame.frame(Instant::now()));
                        tokio::time::advance(Duration::from_millis(millis)).await;
                    }
                }
            }
            viewer.drain().await;
            check_decode_times(&viewer.samples());
            for message in &viewer.got {
                if let MseMessage::Init(bytes) = message {
                    assert_eq!(boxes(bytes).count(), 2);
                }
            }
        });
    }
}

#[tokio::test(start_paused = true)]
async fn parameters_that_come_in_band_are_waited_for() {
    let clip = Clip::h264();
    let slot = Slot::new(Limits::default());
    let unknown: Vec<TrackInfo> =
        tracks(&clip).iter().map(|t| TrackInfo { parameters: Parameters::Unknown, ..t.clone() }).collect();
    let mut publisher = slot.publish(unknown.into()).expect("free");
    let mut viewer = Viewer::of(&slot, &clip);
    viewer.drain().await;
    assert_eq!(kinds(&viewer.got), "", "not playable yet is not unplayable");
    publisher.set_tracks(&tracks(&clip));
    play(&publisher, &clip.frames, &mut viewer).await;
    assert!(kinds(&viewer.got).starts_with("M"), "{}", kinds(&viewer.got));
}
