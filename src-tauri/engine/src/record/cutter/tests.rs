use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::media::{Codec, Note, NoteKind, Parameters};

fn video(generation: u32) -> TrackInfo {
    TrackInfo {
        id: 0,
        kind: TrackKind::Video,
        codec: Codec::Vp9,
        timescale: 90_000,
        parameters: Parameters::Video { width: 640, height: 360 },
        generation,
        note: None,
    }
}

fn audio() -> TrackInfo {
    TrackInfo {
        id: 1,
        kind: TrackKind::Audio,
        codec: Codec::Opus,
        timescale: 48_000,
        parameters: Parameters::Audio { sample_rate: 48_000, channels: 1 },
        generation: 0,
        note: None,
    }
}

/// A frame whose bytes say what it is.
fn frame(track: TrackId, pts: i64, at_ms: u64, start: Instant, key: bool) -> Frame {
    Frame {
        track,
        pts,
        arrival: start + Duration::from_millis(at_ms),
        wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_186_242) + Duration::from_millis(at_ms),
        key,
        generation: 0,
        loss: 0,
        data: format!("{track}:{pts}").into(),
        packets: Default::default(),
    }
}

/// What the cuts put into each file: its start, its tracks' samples with exact times, and why it ended.
#[derive(Debug, Default)]
struct Filed {
    start: Option<SystemTime>,
    samples: BTreeMap<TrackId, Vec<(u64, String, bool)>>,
    lasts: Vec<(TrackId, u64)>,
    why: Option<Why>,
}

fn file(cuts: Vec<Cut>) -> Vec<Filed> {
    let mut files: Vec<Filed> = Vec::new();
    for cut in cuts {
        match cut {
            Cut::Begin { take, start, .. } => {
                assert_eq!(take, files.len() as u64, "files are numbered");
                files.push(Filed { start: Some(start), ..Filed::default() });
            }
            Cut::Fragment { take, samples, .. } => {
                let file = &mut files[usize::try_from(take).unwrap()];
                assert_eq!(file.why, None, "nothing comes after the end");
                for sample in samples {
                    let text = String::from_utf8(sample.data.to_vec()).unwrap();
                    let shown = i64::try_from(sample.decode).unwrap() + i64::from(sample.offset);
                    let row = (u64::try_from(shown).unwrap(), text, sample.key);
                    file.samples.entry(sample.track).or_default().push(row);
                }
            }
            Cut::End { take, why, lasts } => {
                let file = &mut files[usize::try_from(take).unwrap()];
                assert_eq!(file.why, None, "a file ends once");
                file.why = Some(why);
                file.lasts = lasts;
            }
        }
    }
    files
}

/// `seconds` of 25 pictures a second with a key frame every `gop`, and sound that is `late` against them.
fn stream(seconds: u64, gop: u64, late_ms: i64, start: Instant) -> Vec<Frame> {
    let mut all: Vec<(i64, Frame)> = Vec::new();
    for n in 0..seconds * 25 {
        let ms = n * 40;
        let at = i64::try_from(ms).unwrap();
        all.push((at, frame(0, at * 90, ms, start, n % gop == 0)));
    }
    for n in 0..seconds * 50 {
        let at = i64::try_from(n * 20).unwrap();
        let arrives = (at + late_ms).max(0);
        all.push((arrives, frame(1, at * 48, u64::try_from(arrives).unwrap(), start, true)));
    }
    all.sort_by_key(|(at, frame)| (*at, frame.track));
    all.into_iter().map(|(_, frame)| frame).collect()
}

fn cutter(limits: Limits) -> (Cutter, Vec<Cut>) {
    let mut cutter = Cutter::new(limits, Instant::now());
    let mut cuts = Vec::new();
    cutter.tracks(&[video(0), audio()], &mut cuts).expect("recordable");
    (cutter, cuts)
}

/// All of a track's samples over all files, and each file's times against the frames' own.
fn exactly_once(files: &[Filed], frames: &[Frame], from: i64) {
    for track in [0, 1] {
        let scale = if track == 0 { 90_000 } else { 48_000 };
        let expected: Vec<String> = (frames.iter())
            .filter(|f| f.track == track && rescale(f.pts, scale, NANOS) >= from)
            .map(|f| format!("{track}:{}", f.pts))
            .collect();
        let got: Vec<String> = (files.iter())
            .flat_map(|file| file.samples.get(&track).into_iter().flatten())
            .map(|(_, text, _)| text.clone())
            .collect();
        assert_eq!(got, expected, "track {track}");
    }
    for file in files {
        let (first, text, key) = &file.samples[&0][0];
        assert!(*key, "a file begins with a key frame");
        let zero: i64 = text[2..].parse().unwrap();
        assert_eq!(*first, 0);
        for (track, samples) in &file.samples {
            let scale = if *track == 0 { 90_000 } else { 48_000 };
            let zero = rescale(zero, 90_000, scale);
            for (at, text, _) in samples {
                let pts: i64 = text[2..].parse().unwrap();
                assert!(i64::try_from(*at).unwrap().abs_diff(pts - zero) <= 1, "{text} at {at}");
            }
        }
    }
}

#[test]
fn r_n8_across_twenty_rotations_every_frame_is_there_once() {
    let start = Instant::now();
    for late in [-300, -60, 0, 35, 900] {
        let frames = stream(84, 100, late, start);
        let (mut cutter, mut cuts) = cutter(Limits { seconds: 4, bytes: 0 });
        for frame in &frames {
            cutter.frame(frame, &mut cuts);
        }
        cutter.end(Why::Stopped, &mut cuts);
        let files = file(cuts);
        assert_eq!(files.len(), 21);
        // Sound that comes before the first picture belongs nowhere.
        let early: Vec<_> = frames.iter().take_while(|f| f.track == 1).map(|f| f.pts).collect();
        let frames: Vec<Frame> =
            frames.into_iter().filter(|f| f.track == 0 || !early.contains(&f.pts)).collect();
        exactly_once(&files, &frames, 0);
        for (n, file) in files.iter().enumerate() {
            assert_eq!(file.samples[&0].len(), 100);
            let began = file.start.unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
            assert_eq!(began, Duration::from_secs(1_795_186_242 + 4 * n as u64), "no jitter in the starts");
            let last = if n < 20 { Why::Time } else { Why::Stopped };
            assert_eq!(file.why, Some(last));
            if n < 20 {
                assert!(
                    file.lasts.contains(&(0, 360_000)),
                    "the last picture lasts until the next: {file:?}"
                );
            }
        }
        let apart = |file: &Filed| -> i64 {
            // Sound of a file reaches as far as its pictures, not further than it came early.
            let end = file.samples[&1].last().map_or(0, |(at, _, _)| *at);
            i64::try_from(end).unwrap() - 4 * 48_000
        };
        assert!(files[..20].iter().all(|f| apart(f) < 48 * 300), "{late}");
    }
}

#[test]
fn a_fragment_is_never_older_than_a_second() {
    let start = Instant::now();
    let (mut cutter, mut cuts) = cutter(Limits { seconds: 900, bytes: 0 });
    let frames = stream(10, 50, 0, start);
    let mut held: Option<Instant> = None;
    for frame in &frames {
        let before = cuts.len();
        cutter.frame(frame, &mut cuts);
        if cuts[before..].iter().any(|cut| matches!(cut, Cut::Fragment { .. })) {
            held = None;
        }
        let oldest = *held.get_or_insert(frame.arrival);
        assert!(frame.arrival - oldest < Duration::from_millis(960));
    }
    let before = cuts.len();
    cutter.tick(frames.last().unwrap().arrival + Duration::from_secs(1), &mut cuts);
    assert_eq!(cuts.len(), before + 1, "what nothing pushes out is written all the same");
}

#[test]
fn cameras_of_a_root_end_their_fragments_together() {
    let beat = Instant::now();
    let limits = Limits { seconds: 900, bytes: 0 };
    let ends = |late: u64| {
        let start = beat + Duration::from_millis(late);
        let mut cutter = Cutter::new(limits, beat);
        let mut cuts = Vec::new();
        cutter.tracks(&[video(0), audio()], &mut cuts).unwrap();
        let mut ends = Vec::new();
        for frame in &stream(10, 50, 0, start) {
            let before = cuts.len();
            cutter.frame(frame, &mut cuts);
            if cuts[before..].iter().any(|cut| matches!(cut, Cut::Fragment { .. })) {
                ends.push(u64::try_from((frame.arrival - beat).as_millis()).unwrap());
            }
        }
        ends
    };
    for late in [0, 130, 470, 890] {
        let ends = ends(late);
        assert!(ends.len() >= 10, "{ends:?}");
        assert!(ends.iter().all(|end| end % 900 < 40), "begun {late} ms late: {ends:?}");
    }
}

#[test]
fn r_n4_after_a_loss_comes_another_file_and_after_a_hole_the_same_goes_on() {
    let start = Instant::now();
    let (mut cutter, mut cuts) = cutter(Limits { seconds: 900, bytes: 0 });
    let frames = stream(30, 25, 0, start);
    let second = |frame: &Frame| frame.arrival.duration_since(start).as_secs();
    for frame in &frames {
        match second(frame) {
            0..5 | 7..10 => cutter.frame(frame, &mut cuts),
            5 if frame.key && frame.track == 0 => cutter.skip(&mut cuts),
            10 if frame.key && frame.track == 0 => cutter.lose(&mut cuts),
            12 if frame.key && frame.track == 0 => {
                cutter.tracks(&[video(0), audio()], &mut cuts).unwrap();
                cutter.frame(frame, &mut cuts);
            }
            12..14 => cutter.frame(frame, &mut cuts),
            14 if frame.key && frame.track == 0 => cutter.skip(&mut cuts),
            26.. => cutter.frame(frame, &mut cuts),
            _ => {}
        }
    }
    cutter.end(Why::Stopped, &mut cuts);
    let files = file(cuts);
    let whys: Vec<_> = files.iter().map(|f| f.why.unwrap()).collect();
    assert_eq!(whys, [Why::SourceLost, Why::Hole, Why::Stopped]);
    assert_eq!(files[0].samples[&0].len(), 8 * 25);
    let times: Vec<u64> = files[0].samples[&0].iter().map(|(at, _, _)| *at).collect();
    assert_eq!(times[5 * 25] - times[5 * 25 - 1], 3_600 + 2 * 90_000, "the hole has its length");
    assert!(files[1].lasts.is_empty(), "a picture does not last for a hole");
}

#[test]
fn other_parameters_begin_another_file_and_the_same_do_not() {
    let start = Instant::now();
    let (mut cutter, mut cuts) = cutter(Limits { seconds: 900, bytes: 0 });
    for frame in &stream(2, 25, 0, start) {
        cutter.frame(frame, &mut cuts);
    }
    cutter.tracks(&[video(0), audio()], &mut cuts).unwrap();
    assert_eq!(file(cuts.clone()).len(), 1);
    let larger = TrackInfo { parameters: Parameters::Video { width: 1280, height: 720 }, ..video(1) };
    cutter.tracks(&[larger, audio()], &mut cuts).unwrap();
    let mut old = frame(0, 180_000, 2_000, start, true);
    cutter.frame(&old, &mut cuts);
    assert_eq!(file(cuts.clone()).len(), 1, "a frame of the old parameters goes nowhere");
    old.generation = 1;
    cutter.frame(&old, &mut cuts);
    cutter.end(Why::Stopped, &mut cuts);
    let files = file(cuts);
    assert_eq!(files.len(), 2);
    assert_eq!(files[0].why, Some(Why::Parameters));
    assert_eq!(
        files[1].start.unwrap().duration_since(files[0].start.unwrap()).unwrap(),
        Duration::from_secs(2)
    );
}

#[test]
fn what_cannot_be_recorded_says_so() {
    let mut cutter = Cutter::new(Limits { seconds: 900, bytes: 0 }, Instant::now());
    let mut cuts = Vec::new();
    let mjpeg = TrackInfo { codec: Codec::Mjpeg, ..video(0) };
    assert!(cutter.tracks(&[mjpeg, audio()], &mut cuts).unwrap_err().contains("mjpeg"));
    let pending = TrackInfo { codec: Codec::H264, parameters: Parameters::Unknown, ..video(0) };
    cutter.tracks(&[pending], &mut cuts).expect("its parameters may come in band");
    cutter.tracks(&[audio()], &mut cuts).expect("sound alone");
    let start = Instant::now();
    let mut sound = frame(1, 0, 0, start, true);
    cutter.frame(&sound, &mut cuts);
    sound.pts = 960;
    cutter.frame(&sound, &mut cuts);
    cutter.end(Why::Stopped, &mut cuts);
    assert_eq!(file(cuts)[0].samples[&1].len(), 2);
}

#[test]
fn sound_that_cannot_be_recorded_is_told() {
    for (codec, name) in [(Codec::G722, "G.722"), (Codec::G726, "G.726"), (Codec::L16, "L16")] {
        let parameters = Parameters::Audio { sample_rate: 16_000, channels: 1 };
        let sound = TrackInfo { codec, parameters, ..audio() };
        let both = [video(0), sound.clone()];
        let said = unrecorded(&both, &sound).expect("it is told");
        assert!(said.contains(name) && said.contains("without sound"), "{said}");
        assert_eq!(unrecorded(&both, &both[0]), None, "the picture is recorded");
        assert!(unrecorded(std::slice::from_ref(&sound), &sound).is_some());
        let note = Some(Note::new(NoteKind::NotReceived, "not received"));
        let noted = TrackInfo { note, ..sound };
        assert_eq!(unrecorded(&[video(0), noted.clone()], &noted), None, "it says so itself");
    }
    for codec in [Codec::Opus, Codec::Pcma, Codec::Pcmu] {
        let timescale = if codec == Codec::Opus { 48_000 } else { 8_000 };
        let parameters = Parameters::Audio { sample_rate: timescale, channels: 1 };
        let sound = TrackInfo { codec, timescale, parameters, ..audio() };
        assert_eq!(unrecorded(&[video(0), sound.clone()], &sound), None, "{codec}");
    }
    let mjpeg = TrackInfo { codec: Codec::Mjpeg, ..video(0) };
    assert!(unrecorded(&[mjpeg.clone(), audio()], &mjpeg).is_some_and(|said| said.contains("mjpeg")));
    let pending = TrackInfo { codec: Codec::H264, parameters: Parameters::Unknown, ..video(0) };
    assert_eq!(unrecorded(&[pending.clone(), audio()], &pending), None, "nobody knows yet");
}

proptest! {
    #[test]
    fn whatever_the_pace_every_frame_is_in_one_file(
        steps in prop::collection::vec((1u64..400, any::<bool>(), 0u64..3), 10..200), seconds in 1u32..5
    ) {
        let start = Instant::now();
        let (mut cutter, mut cuts) = cutter(Limits { seconds, bytes: 0 });
        let mut ms = 0;
        let mut frames = Vec::new();
        for (n, (step, key, sounds)) in steps.iter().enumerate() {
            let at = i64::try_from(ms).unwrap();
            frames.push(frame(0, at * 90, ms, start, *key || n == 0));
            for sound in 0..*sounds {
                let within = at + i64::try_from(sound * step / 3).unwrap();
                if frames.iter().all(|f| f.track == 0 || f.pts < within * 48) {
                    frames.push(frame(1, within * 48, ms, start, true));
                }
            }
            ms += step;
        }
        for frame in &frames {
            cutter.frame(frame, &mut cuts);
        }
        cutter.end(Why::Stopped, &mut cuts);
        exactly_once(&file(cuts), &frames, 0);
    }
}
