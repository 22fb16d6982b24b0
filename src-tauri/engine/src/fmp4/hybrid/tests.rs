use std::io::Cursor;

use proptest::prelude::*;

use super::super::clips::{Clip, boxes, decoded};
use super::super::{DecodeClock, Survey, SurveyError, survey};
use super::*;
use crate::media::rescale;

/// A clip as the recorder writes it, not sealed; and where each fragment ends.
fn written(clip: &Clip, each: usize) -> (Hybrid, Vec<u8>, Vec<usize>) {
    let (mut hybrid, head) = Hybrid::new(&clip.tracks, 1_795_186_242, b"a note").expect("codecs that fit");
    let mut file = head.to_vec();
    let mut ends = vec![file.len()];
    let mut clocks: Vec<DecodeClock> =
        clip.tracks.iter().map(|track| DecodeClock::new(track.reorder(), track.timescale)).collect();
    let zero = -clocks[0].lead();
    let samples: Vec<Sample> = (clip.frames.iter())
        .map(|frame| {
            let track = usize::from(frame.track);
            let stamp = clocks[track].stamp(frame.pts - if track == 0 { clip.frames[0].pts } else { 0 });
            let base = rescale(zero, clip.tracks[0].timescale, clip.tracks[track].timescale);
            let pace = if track == 0 { clip.tracks[0].timescale / 25 } else { 1_024 };
            Sample {
                track: frame.track,
                decode: u64::try_from(stamp.decode - base).expect("positive"),
                duration: pace,
                offset: i32::try_from(stamp.offset).expect("small"),
                key: frame.key,
                data: frame.data.clone(),
            }
        })
        .collect();
    for chunk in samples.chunks(each) {
        let fragment = hybrid.fragment(chunk).expect("a fragment");
        file.extend_from_slice(&fragment.to_bytes());
        hybrid.written(&fragment, chunk);
        assert_eq!(hybrid.index().end(), file.len() as u64);
        ends.push(file.len());
    }
    (hybrid, file, ends)
}

fn sealed(index: &Index, mut file: Vec<u8>) -> Vec<u8> {
    let seal = index.seal().expect("a seal");
    file.truncate(usize::try_from(seal.end).expect("small"));
    file.extend_from_slice(&seal.moov);
    let at = usize::try_from(seal.at).expect("small");
    file[at..at + seal.header.len()].copy_from_slice(&seal.header);
    file
}

fn look(file: &[u8]) -> Result<Survey, SurveyError> {
    survey(&mut Cursor::new(file), file.len() as u64)
}

fn hashes(file: &[u8], track: &str) -> Vec<String> {
    decoded(file, track).into_iter().map(|(_, hash)| hash).collect()
}

#[test]
fn r_n9_a_file_plays_as_its_source_while_it_grows_and_when_it_is_sealed() {
    for clip in [Clip::h264_aac(), Clip::h264_b_frames(), Clip::h265()] {
        let (hybrid, file, ends) = written(&clip, 30);
        let plain = sealed(hybrid.index(), file.clone());
        let kinds: Vec<[u8; 4]> = boxes(&plain).map(|top| top.kind).collect();
        assert_eq!(kinds, [*b"ftyp", *b"mdat", *b"moov"], "a plain file");
        let source = hashes(&clip.file, "v");
        assert_eq!(source.len(), 100);
        assert_eq!(hashes(&plain, "v"), source);
        let growing = hashes(&file, "v");
        assert!(growing.ends_with(&source));
        // Sixty frames with their sound; the last pictures of them may lack those they are made from.
        let half = hashes(&file[..ends[clip.tracks.len() * 2]], "v");
        assert!(half.len() >= 40 && half.iter().all(|hash| growing.contains(hash)), "{}", half.len());
        if clip.tracks.len() > 1 {
            let (ours, theirs) = (hashes(&plain, "a"), hashes(&clip.file, "a"));
            assert!(ours.ends_with(&theirs) && ours.len() <= theirs.len() + 1);
        }
    }
}

#[test]
fn presentation_begins_at_zero_and_sound_where_it_began() {
    let clip = Clip::h264_b_frames();
    let (hybrid, file, _) = written(&clip, 25);
    let plain = sealed(hybrid.index(), file);
    let times: Vec<i64> = decoded(&plain, "v").into_iter().map(|(at, _)| at).collect();
    assert_eq!(times[0], 0, "although decoding begins earlier");
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == times[1]), "{times:?}");

    // Sound that begins 0.3 s after the picture.
    let mut clip = Clip::h264_aac();
    let late = i64::from(clip.tracks[1].timescale) * 3 / 10;
    for frame in clip.frames.iter_mut().filter(|frame| frame.track == 1) {
        frame.pts += late;
    }
    let (hybrid, file, _) = written(&clip, 25);
    let moov = boxes(&sealed(hybrid.index(), file)).find_map(|top| top.moov).expect("a moov");
    let list = moov.trak[1].edts.as_ref().and_then(|edts| edts.elst.as_ref()).expect("an edit list");
    assert_eq!(list.entries[0].media_time, None);
    assert_eq!(list.entries[0].segment_duration, 27_000, "0.3 s of 90 kHz");
    assert!(moov.trak[0].edts.is_none(), "the picture needs none");
}

#[test]
fn a_file_is_read_back_sealed_open_or_in_between() {
    let clip = Clip::h264_aac();
    let (hybrid, file, ends) = written(&clip, 25);
    let plain = sealed(hybrid.index(), file.clone());
    let Ok(Survey::Sealed { note, duration_us }) = look(&plain) else { panic!("sealed") };
    assert_eq!(&note[..], b"a note");
    assert!(duration_us.abs_diff(hybrid.index().duration_us()) <= 1, "{duration_us}");
    assert!((4_000_000..4_100_000).contains(&duration_us), "{duration_us}");

    // The moov is there, its header not yet.
    let seal = hybrid.seal().expect("a seal");
    let mut between = file.clone();
    between.extend_from_slice(&seal.moov);
    let Ok(Survey::Open { note, index, damaged: false }) = look(&between) else { panic!("open") };
    assert_eq!(&note[..], b"a note");
    assert_eq!(index.end(), file.len() as u64, "the moov is cut off and written anew");
    assert_eq!(sealed(&index, between), plain, "what comes out is the same");

    // Sealed, but cut: that is not a torn end.
    assert!(matches!(look(&plain[..plain.len() - 1]), Err(SurveyError::Broken)));
    let mut cut = file.clone();
    cut.truncate(ends[2] + 1_000);
    let Ok(Survey::Open { index, .. }) = look(&cut) else { panic!("open") };
    assert_eq!(index.end(), ends[2] as u64);
    assert!(hashes(&plain, "v").starts_with(&hashes(&sealed(&index, cut), "v")));
    assert!(matches!(look(&[]), Err(SurveyError::Empty)));
    assert!(matches!(look(&file[..ends[0]]), Err(SurveyError::Empty)));
    assert!(matches!(look(&clip.file), Err(SurveyError::Foreign)));
    assert!(matches!(look(b"not a film at all"), Err(SurveyError::Foreign)));
}

#[test]
fn a_file_beyond_four_gigabytes_has_far_offsets() {
    let clip = Clip::h264();
    let (mut hybrid, _) = Hybrid::new(&clip.tracks, 0, b"").expect("fits");
    let sample = |decode| Sample {
        track: 0,
        decode,
        duration: 1,
        offset: 0,
        key: decode == 0,
        data: Bytes::from_static(b"x"),
    };
    for n in 0..3 {
        let samples = [sample(n)];
        let fragment = hybrid.fragment(&samples).expect("a fragment");
        hybrid.written(&fragment, &samples);
        hybrid.index.grow(hybrid.index.end() + (3 << 30));
    }
    let seal = hybrid.seal().expect("a seal");
    let moov = boxes(&seal.moov).find_map(|top| top.moov).expect("a moov");
    assert_eq!(moov.trak[0].mdia.minf.stbl.co64.as_ref().expect("far").entries.len(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn r_n9_a_file_cut_anywhere_keeps_every_whole_fragment(cut in 0usize..400_000, junk in any::<bool>()) {
        static CLIP: std::sync::OnceLock<(Vec<u8>, Vec<usize>)> = std::sync::OnceLock::new();
        let (file, ends) = CLIP.get_or_init(|| {
            let (_, file, ends) = written(&Clip::h264_aac(), 25);
            (file, ends)
        });
        let cut = cut % file.len();
        let mut torn = file[..cut].to_vec();
        if junk {
            // Blocks that were given to the file but never written.
            torn.resize(cut + 4_096, 0);
        }
        // A few zeros at the end of a fragment cannot be told from what was meant.
        let near = ends.iter().find(|&&end| end > cut && end - cut < 64 + 8).copied().filter(|_| junk);
        let whole = ends.iter().rfind(|&&end| end <= cut).copied().unwrap_or(0);
        match look(&torn) {
            Ok(Survey::Open { index, .. }) => {
                let end = usize::try_from(index.end()).expect("small");
                prop_assert!(end == whole || Some(end) == near, "{} is neither {} nor {:?}", end, whole, near);
                let plain = sealed(&index, torn);
                let is_sealed = matches!(look(&plain), Ok(Survey::Sealed { .. }));
                prop_assert!(is_sealed);
            }
            Ok(Survey::Sealed { .. }) => prop_assert!(false, "it is not sealed"),
            Err(_) => prop_assert!(whole <= ends[0]),
        }
    }

    #[test]
    fn bytes_that_are_changed_never_panic(at in 0usize..400_000, value in any::<u8>(), plain in any::<bool>()) {
        static CLIP: std::sync::OnceLock<(Vec<u8>, Vec<u8>)> = std::sync::OnceLock::new();
        let (open, whole) = CLIP.get_or_init(|| {
            let (hybrid, file, _) = written(&Clip::h264(), 10);
            (file.clone(), sealed(hybrid.index(), file))
        });
        let mut file = if plain { whole.clone() } else { open.clone() };
        // Heads of boxes are where it matters: half of the changes are there.
        let at = if at % 2 == 0 { at % file.len() } else { at % 2_000 };
        file[at] = value;
        if let Ok(Survey::Open { index, .. }) = look(&file) {
            let _ = index.seal();
        }
    }
}
