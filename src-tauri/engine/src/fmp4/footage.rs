//! Reads an MP4 back: where each sample of its tracks lies and when it is shown. Plain files and files of
//! fragments alike, whole or still growing.
//!
//! The bytes are foreign: every length is held against the file's, every table has a bound, and a torn
//! end is where the footage ends. Samples are found here, not read.

use std::io::{self, Read, Seek, SeekFrom};

use bytes::{Buf as _, Bytes};
use mp4_atom::{self as mp4, Atom as _};

use super::KEY;
use crate::media::{Codec, Parameters, TrackInfo, TrackKind, rescale};

/// A `moov` or `moof` larger than this is none of ours.
const BOX_MAX: u64 = 256 << 20;
/// More samples than two days of pictures and sound.
const SAMPLES_MAX: usize = 16 << 20;
/// Boxes at the top of a file: two days of fragments.
const BOXES_MAX: usize = 1 << 19;
/// Set on what cannot be decoded alone (ISO 14496-12 8.8.3.1).
const NOT_ALONE: u32 = 0x0001_0000;

/// Why a file cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum FootageError {
    #[error("the file cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Not an MP4, or one that makes no sense.
    #[error("the file is damaged: {0}")]
    Damaged(&'static str),
    #[error("there is no picture in the file")]
    Empty,
}

/// Where a sample lies and when it is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where its bytes begin.
    pub at: u64,
    pub size: u32,
    /// In ticks of its track.
    pub decode: i64,
    /// To the next sample, in ticks.
    pub duration: u32,
    /// Presentation minus decode time, in ticks.
    pub offset: i32,
    pub key: bool,
}

/// One track of a file.
#[derive(Clone, Debug)]
pub struct Strip {
    pub kind: TrackKind,
    pub timescale: u32,
    /// In decode order; not empty.
    pub samples: Vec<Place>,
    /// Media time at which the movie begins (its edit list).
    shift: i64,
    /// Its description, with empty tables.
    pub(super) trak: mp4::Trak,
}

/// What a file holds.
#[derive(Clone, Debug)]
pub struct Footage {
    /// The picture, and the sound where there is one.
    pub picture: Strip,
    pub sound: Option<Strip>,
}

impl Footage {
    /// Reads the tables of a file, of which `length` bytes count.
    ///
    /// # Errors
    /// [`FootageError`].
    pub fn read<R: Read + Seek>(file: &mut R, length: u64) -> Result<Self, FootageError> {
        let mut fragments = Vec::new();
        let mut movie: Option<mp4::Moov> = None;
        let mut at = 0;
        for _ in 0..BOXES_MAX {
            let Some(found) = header(file, at, length)? else { break };
            match &found.kind {
                // A file that was just sealed has the tables of its fragments, then the plain ones.
                b"moov" => {
                    let Some(mut bytes) = body(file, &found)? else { break };
                    let moov = mp4::Moov::decode_body(&mut bytes)
                        .map_err(|_| FootageError::Damaged("its tables cannot be read"))?;
                    if movie.is_none() || moov.mvex.is_none() {
                        movie = Some(moov);
                    }
                }
                b"moof" if movie.as_ref().is_none_or(|m| m.mvex.is_some()) => {
                    let Some(mut bytes) = body(file, &found)? else { break };
                    let Ok(moof) = mp4::Moof::decode_body(&mut bytes) else { break };
                    // What it speaks of must be there, or it is the torn end.
                    let Some(data) = header(file, found.end, length)? else { break };
                    fragments.push((found.at, moof));
                    at = data.end;
                    continue;
                }
                _ => {}
            }
            at = found.end;
        }
        let moov = movie.ok_or(FootageError::Damaged("it has no tables"))?;
        let mut strips = Vec::new();
        for trak in &moov.trak {
            let Some(kind) = kind(trak) else { continue };
            let samples = if moov.mvex.is_some() {
                fragmented(trak, &moov, &fragments, length)
            } else {
                plain(trak, length)
            };
            let samples = samples.ok_or(FootageError::Damaged("its tables do not fit its bytes"))?;
            if !samples.is_empty() {
                strips.push(Strip::new(kind, trak, samples, moov.mvhd.timescale));
            }
        }
        let mut take = |kind| strips.iter().position(|s| s.kind == kind).map(|at| strips.swap_remove(at));
        let picture = take(TrackKind::Video).ok_or(FootageError::Empty)?;
        Ok(Self { picture, sound: take(TrackKind::Audio) })
    }
}

impl Strip {
    fn new(kind: TrackKind, trak: &mp4::Trak, samples: Vec<Place>, movie: u32) -> Self {
        let timescale = trak.mdia.mdhd.timescale;
        let mut described = trak.clone();
        let stbl = &mut described.mdia.minf.stbl;
        *stbl = mp4::Stbl { stsd: std::mem::take(&mut stbl.stsd), ..Default::default() };
        let mut shift = 0;
        for edit in trak.edts.iter().flat_map(|edts| &edts.elst).flat_map(|elst| &elst.entries) {
            let signed = |ticks: u64| i64::try_from(ticks).unwrap_or(i64::MAX);
            match edit.media_time {
                None => shift -= rescale(signed(edit.segment_duration), movie, timescale),
                Some(at) => {
                    shift += signed(at);
                    break;
                }
            }
        }
        described.edts = None;
        Self { kind, timescale, samples, shift, trak: described }
    }

    /// When a sample is shown, in ticks since the movie's beginning.
    #[must_use]
    pub fn shown(&self, sample: &Place) -> i64 {
        sample.decode.saturating_add(i64::from(sample.offset)).saturating_sub(self.shift)
    }

    /// When the first of all samples is shown.
    #[must_use]
    pub fn begins(&self) -> i64 {
        // Beyond sixteen pictures no codec reorders.
        self.samples.iter().take(17).map(|s| self.shown(s)).min().unwrap_or(0)
    }

    /// When the last of all samples has been shown.
    #[must_use]
    pub fn ends(&self) -> i64 {
        let last = self.samples.iter().rev().take(17);
        last.map(|s| self.shown(s).saturating_add(i64::from(s.duration))).max().unwrap_or(0)
    }

    /// Index of the key sample from which what is shown at `at` can be decoded: the first one, where `at`
    /// lies before it.
    #[must_use]
    pub fn key_before(&self, at: i64) -> usize {
        // Keys are in order of presentation, too.
        let keys = self.samples.iter().enumerate().filter(|(_, s)| s.key);
        keys.take_while(|(_, s)| self.shown(s) <= at)
            .last()
            .map_or_else(|| self.samples.iter().position(|s| s.key).unwrap_or(0), |(index, _)| index)
    }

    /// When the pictures begin that the strip of the next file has again at its own beginning, in ticks as
    /// [`Strip::shown`]. A recorder whose storage was away for less than a group of pictures writes from the group's
    /// key frame on, as only that begins a file, and has written some of the group before.
    #[must_use]
    pub fn repeated_by(&self, next: &Self) -> Option<i64> {
        let again = |from: usize| {
            let (own, other) = (self.samples[from..].iter(), next.samples.iter());
            own.len() <= other.len() && own.zip(other).all(|(a, b)| (a.key, a.size) == (b.key, b.size))
        };
        let keys = self.samples.iter().enumerate().filter(|(_, s)| s.key);
        let mut found = keys.filter(|(index, _)| again(*index));
        found.next().map(|(_, key)| self.shown(key))
    }

    /// What a decoder must know, where the codec is one that stills can be made of.
    #[must_use]
    pub fn track(&self) -> Option<TrackInfo> {
        let (codec, parameters) = sets(self.trak.mdia.minf.stbl.stsd.codecs.first()?)?;
        Some(TrackInfo {
            id: 0,
            kind: self.kind,
            codec,
            timescale: self.timescale,
            parameters,
            generation: 0,
            note: None,
        })
    }
}

/// A box's place in the file.
struct Found {
    kind: [u8; 4],
    at: u64,
    body: u64,
    end: u64,
}

/// The box at `at`, if all of it is there.
fn header<R: Read + Seek>(file: &mut R, at: u64, length: u64) -> io::Result<Option<Found>> {
    let left = length.saturating_sub(at);
    if left < 8 {
        return Ok(None);
    }
    let mut bytes = [0; 16];
    let want = usize::try_from(left.min(16)).unwrap_or(16);
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut bytes[..want])?;
    let mut rest = &bytes[..want];
    let short = u64::from(rest.get_u32());
    let mut kind = [0; 4];
    rest.copy_to_slice(&mut kind);
    let (head, size) = match short {
        0 => (8, left),
        1 if rest.len() == 8 => (16, rest.get_u64()),
        size => (8, size),
    };
    Ok((size >= head && size <= left).then(|| Found { kind, at, body: at + head, end: at + size }))
}

fn body<R: Read + Seek>(file: &mut R, found: &Found) -> io::Result<Option<Bytes>> {
    let size = found.end - found.body;
    if size > BOX_MAX {
        return Ok(None);
    }
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    file.seek(SeekFrom::Start(found.body))?;
    file.read_exact(&mut bytes)?;
    Ok(Some(bytes.into()))
}

fn kind(trak: &mp4::Trak) -> Option<TrackKind> {
    if trak.mdia.mdhd.timescale == 0 {
        return None;
    }
    match trak.mdia.hdlr.handler.as_ref() {
        b"vide" => Some(TrackKind::Video),
        b"soun" => Some(TrackKind::Audio),
        _ => None,
    }
}

/// Samples of the fragments, as far as they lie within the file.
fn fragmented(
    trak: &mp4::Trak,
    moov: &mp4::Moov,
    fragments: &[(u64, mp4::Moof)],
    length: u64,
) -> Option<Vec<Place>> {
    let number = trak.tkhd.track_id;
    let trex = moov.mvex.as_ref()?.trex.iter().find(|trex| trex.track_id == number)?;
    let mut samples: Vec<Place> = Vec::new();
    for (start, moof) in fragments {
        for traf in moof.traf.iter().filter(|traf| traf.tfhd.track_id == number) {
            let tfhd = &traf.tfhd;
            let mut decode = match &traf.tfdt {
                Some(tfdt) => i64::try_from(tfdt.base_media_decode_time).ok()?,
                None => samples.last().map_or(0, |s| s.decode + i64::from(s.duration)),
            };
            let base = tfhd.base_data_offset.unwrap_or(*start);
            let mut at = base;
            for trun in &traf.trun {
                if let Some(offset) = trun.data_offset {
                    at = base.checked_add_signed(offset.into())?;
                }
                for (index, sample) in trun.samples.iter().enumerate() {
                    let size = sample.size.or(tfhd.default_sample_size).unwrap_or(trex.default_sample_size);
                    let duration = sample
                        .duration
                        .or(tfhd.default_sample_duration)
                        .unwrap_or(trex.default_sample_duration);
                    let flags =
                        sample.flags.or(tfhd.default_sample_flags).unwrap_or(trex.default_sample_flags);
                    let end = at.checked_add(size.into())?;
                    if end > length || samples.len() >= SAMPLES_MAX {
                        return Some(samples);
                    }
                    // A run that says nothing of its samples could be endless.
                    if size == 0 && index >= 1 << 20 {
                        return None;
                    }
                    samples.push(Place {
                        at,
                        size,
                        decode,
                        duration,
                        offset: i32::try_from(sample.cts.unwrap_or(0)).ok()?,
                        key: flags & KEY != 0 || flags & NOT_ALONE == 0,
                    });
                    decode = decode.checked_add(duration.into())?;
                    at = end;
                }
            }
        }
    }
    Some(samples)
}

/// Samples of the tables of a plain file; nothing where they contradict each other or the file.
fn plain(trak: &mp4::Trak, length: u64) -> Option<Vec<Place>> {
    let stbl = &trak.mdia.minf.stbl;
    let (count, size_of): (usize, Box<dyn Fn(usize) -> u32>) = match &stbl.stsz.samples {
        mp4::StszSamples::Identical { count, size } => {
            let size = *size;
            (usize::try_from(*count).ok()?, Box::new(move |_| size))
        }
        mp4::StszSamples::Different { sizes } => (sizes.len(), Box::new(|at| sizes[at])),
    };
    if count > SAMPLES_MAX {
        return None;
    }
    let chunks: Vec<u64> = match (&stbl.stco, &stbl.co64) {
        (_, Some(far)) => far.entries.clone(),
        (Some(near), None) => near.entries.iter().map(|&at| at.into()).collect(),
        (None, None) => Vec::new(),
    };
    let mut samples: Vec<Place> = Vec::with_capacity(count);
    let mut runs = stbl.stsc.entries.iter().peekable();
    let mut each = 0;
    for (number, start) in (1_u32..).zip(&chunks) {
        if let Some(run) = runs.next_if(|run| run.first_chunk == number) {
            each = run.samples_per_chunk;
        }
        let mut at = *start;
        for _ in 0..each {
            if samples.len() == count {
                break;
            }
            let size = size_of(samples.len());
            let end = at.checked_add(size.into()).filter(|end| *end <= length)?;
            samples.push(Place { at, size, decode: 0, duration: 0, offset: 0, key: stbl.stss.is_none() });
            at = end;
        }
    }
    let mut times = stbl
        .stts
        .entries
        .iter()
        .flat_map(|e| std::iter::repeat_n(e.sample_delta, usize::try_from(e.sample_count).unwrap_or(0)));
    let mut decode = 0_i64;
    for sample in &mut samples {
        (sample.decode, sample.duration) = (decode, times.next()?);
        decode = decode.checked_add(sample.duration.into())?;
    }
    let mut shifts = stbl
        .ctts
        .iter()
        .flat_map(|ctts| &ctts.entries)
        .flat_map(|e| std::iter::repeat_n(e.sample_offset, usize::try_from(e.sample_count).unwrap_or(0)));
    for (sample, shift) in samples.iter_mut().zip(&mut shifts) {
        sample.offset = i32::try_from(shift).ok()?;
    }
    for number in stbl.stss.iter().flat_map(|stss| &stss.entries) {
        if let Some(sample) = usize::try_from(*number).ok().and_then(|n| samples.get_mut(n.checked_sub(1)?)) {
            sample.key = true;
        }
    }
    (samples.len() == count).then_some(samples)
}

/// The NAL units' lengths have four bytes; everything that Nightjar writes has.
fn sets(entry: &mp4::Codec) -> Option<(Codec, Parameters)> {
    match entry {
        mp4::Codec::Avc1(mp4::Avc1 { visual, avcc, .. }) if avcc.length_size == 4 => {
            let set = |sets: &[Vec<u8>]| sets.first().map(|set| Bytes::copy_from_slice(set));
            let parameters = Parameters::H264 {
                sps: set(&avcc.sequence_parameter_sets)?,
                pps: set(&avcc.picture_parameter_sets)?,
                width: visual.width,
                height: visual.height,
                reorder: 0,
            };
            Some((Codec::H264, parameters))
        }
        mp4::Codec::Hvc1(mp4::Hvc1 { visual, hvcc, .. }) if hvcc.length_size_minus_one == 3 => {
            let set = |kind| {
                let array = hvcc.arrays.iter().find(|array| array.nal_unit_type == kind)?;
                array.nalus.first().map(|set| Bytes::copy_from_slice(set))
            };
            let parameters = Parameters::H265 {
                vps: set(32)?,
                sps: set(33)?,
                pps: set(34)?,
                width: visual.width,
                height: visual.height,
                reorder: 0,
            };
            Some((Codec::H265, parameters))
        }
        _ => None,
    }
}
