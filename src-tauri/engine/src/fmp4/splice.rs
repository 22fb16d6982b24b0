//! One plain MP4 out of spans of several: which bytes of which file follow each other, and the tables in
//! front of them. Nothing is decoded and nothing is copied here.
//!
//! Invariants: pictures and sound of a part keep their distance; decode times only rise; a start between
//! key frames is cut by the edit list, so that all players that follow it show the same first picture;
//! the size is known before the first byte is written. Gaps between the parts are left out.

use bytes::{BufMut as _, Bytes, BytesMut};
use mp4_atom::{self as mp4, Encode as _};

use super::MuxError;
use super::footage::{Footage, Place, Strip};
use crate::media::rescale;

/// A box header with a 64-bit size.
const LONG_HEADER: usize = 16;
/// Samples in all; a day of pictures and sound has half as many.
const SAMPLES_MAX: usize = 16 << 20;

/// Why parts cannot be joined.
#[derive(Debug, thiserror::Error)]
pub enum SpliceError {
    #[error("the codec of the pictures changes within the span")]
    Differs,
    #[error("the span is too long for one file")]
    TooLong,
    #[error("there is no picture in the span")]
    Empty,
    #[error(transparent)]
    Mux(#[from] MuxError),
}

/// Where a span may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the first picture of the span, by the edit list.
    Exact,
    /// At the key frame at or before it.
    Key,
}

/// Bytes of one of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Number of the part, from zero.
    pub part: usize,
    pub at: u64,
    pub length: u64,
}

/// Equal values in a row.
#[derive(Debug, Default)]
struct Runs<T>(Vec<(u32, T)>);

impl<T: PartialEq> Runs<T> {
    fn push(&mut self, value: T) {
        match self.0.last_mut() {
            Some((count, last)) if *last == value => *count += 1,
            _ => self.0.push((1, value)),
        }
    }
}

/// A track in the making.
#[derive(Debug)]
struct Lane {
    trak: mp4::Trak,
    timescale: u32,
    /// Decode time of the first sample where zero is the beginning of the movie; may be negative.
    base: Option<i64>,
    /// Decode time of the newest sample and its duration.
    newest: (i64, u32),
    ends: i64,
    deltas: Runs<u32>,
    offsets: Runs<i64>,
    sizes: Vec<u32>,
    keys: Vec<u32>,
    /// Where in the payload, how many samples, of which description.
    chunks: Vec<(u64, u32, u32)>,
}

/// Parts that become one file.
#[derive(Debug, Default)]
pub struct Splice {
    picture: Option<Lane>,
    sound: Option<Lane>,
    extents: Vec<Extent>,
    parts: usize,
    payload: u64,
    /// What was joined so far lasts so long, in ticks of the picture.
    length: i64,
}

impl Splice {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a part of a file: what is shown from `from_us` until before `to_us`, counted from its first
    /// picture. `false` where no picture is in it; its number is not used up then.
    ///
    /// # Errors
    /// [`SpliceError`].
    pub fn push(
        &mut self,
        footage: &Footage,
        from_us: i64,
        to_us: i64,
        start: Start,
    ) -> Result<bool, SpliceError> {
        let strip = &footage.picture;
        let begins = strip.begins();
        let ticks = |us: i64| begins.saturating_add(ceil_ticks(us, strip.timescale));
        let (from, to) = (ticks(from_us), ticks(to_us));
        let first = strip.key_before(from);
        let inside = |s: &Place| (from..to).contains(&strip.shown(s));
        // The picture that the part begins with.
        let Some(opening) = strip.samples.iter().filter(|s| inside(s)).map(|s| strip.shown(s)).min() else {
            return Ok(false);
        };
        let from = match start {
            Start::Exact => opening,
            Start::Key => strip.samples.get(first).map_or(opening, |s| strip.shown(s)).min(opening),
        };
        let last = strip.samples.iter().rposition(|s| strip.shown(s) < to).unwrap_or(0);
        let pictures = strip.samples.get(first..=last).unwrap_or_default();
        let shown_until = pictures.iter().map(|s| strip.shown(s).saturating_add(s.duration.into())).max();
        let until = shown_until.unwrap_or(to).min(to);

        let lane = Lane::of(&mut self.picture, strip).ok_or(SpliceError::Differs)?;
        let scale = lane.timescale;
        let at = |strip: &Strip, ticks: i64| rescale(ticks, strip.timescale, scale);
        let (start_at, end_at) = (at(strip, from), at(strip, until));
        let mut order: Vec<(u64, bool, i64, Place)> = Vec::new();
        for sample in pictures {
            order.push((sample.at, false, at(strip, strip.shown(sample)) - start_at + self.length, *sample));
        }
        if let Some(sound) = &footage.sound
            && let Some(lane) = Lane::of(&mut self.sound, sound)
        {
            let span = [start_at, end_at].map(|t| rescale(t, scale, sound.timescale));
            let out = rescale(self.length, scale, lane.timescale);
            for sample in &sound.samples {
                let shown = sound.shown(sample);
                if shown.saturating_add(sample.duration.into()) > span[0] && shown < span[1] {
                    let shown = rescale(shown - span[0], sound.timescale, lane.timescale) + out;
                    order.push((sample.at, true, shown, *sample));
                }
            }
        }
        order.sort_by_key(|(at, ..)| *at);
        for (_, is_sound, shown, sample) in order {
            let lane = if is_sound { &mut self.sound } else { &mut self.picture };
            let from = if is_sound { footage.sound.as_ref() } else { Some(strip) };
            let (Some(lane), Some(from)) = (lane, from) else { continue };
            lane.push(from, &sample, shown, self.payload);
            let size = u64::from(sample.size);
            match self.extents.last_mut() {
                Some(e) if e.part == self.parts && e.at + e.length == sample.at => e.length += size,
                _ => self.extents.push(Extent { part: self.parts, at: sample.at, length: size }),
            }
            self.payload += size;
        }
        let samples = [&self.picture, &self.sound].into_iter().flatten().map(|lane| lane.sizes.len());
        if samples.sum::<usize>() > SAMPLES_MAX {
            return Err(SpliceError::TooLong);
        }
        self.length += end_at - start_at;
        self.parts += 1;
        Ok(true)
    }

    /// What follows the head, in order.
    #[must_use]
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// Bytes behind the head.
    #[must_use]
    pub fn payload(&self) -> u64 {
        self.payload
    }

    /// How long the file plays, in microseconds.
    #[must_use]
    pub fn duration_us(&self) -> u64 {
        let scale = self.picture.as_ref().map_or(1, |lane| lane.timescale);
        u64::try_from(rescale(self.length, scale, 1_000_000)).unwrap_or(0)
    }

    /// The first bytes of the file, up to the payload. `created` counts seconds since 1970.
    ///
    /// # Errors
    /// [`SpliceError::Empty`], and what cannot be written.
    pub fn head(&self, created: u64) -> Result<Bytes, SpliceError> {
        let picture = self.picture.as_ref().filter(|lane| lane.base.is_some()).ok_or(SpliceError::Empty)?;
        let brand = mp4::FourCC::new;
        let ftyp = mp4::Ftyp {
            major_brand: brand(b"isom"),
            minor_version: 512,
            compatible_brands: vec![brand(b"isom"), brand(b"iso6"), brand(b"mp41")],
        };
        let lanes = || [Some(picture), self.sound.as_ref().filter(|lane| lane.base.is_some())];
        let created = created.saturating_add(EPOCH_1904);
        let mut moov = mp4::Moov {
            mvhd: mp4::Mvhd {
                creation_time: created,
                modification_time: created,
                timescale: picture.timescale,
                duration: u64::try_from(self.length).unwrap_or(0),
                rate: 1.into(),
                volume: 1.into(),
                next_track_id: 3,
                ..Default::default()
            },
            trak: Vec::new(),
            mvex: None,
            meta: None,
            udta: None,
            ainf: None,
        };
        // Offsets have eight bytes, so the head's size does not depend on them.
        let mut head = BytesMut::new();
        let mut size = 0;
        for _ in 0..2 {
            moov.trak = (1..)
                .zip(lanes().into_iter().flatten())
                .map(|(number, lane)| lane.trak(number, self.length, picture.timescale, size))
                .collect();
            head.clear();
            ftyp.encode(&mut head).map_err(MuxError::from)?;
            moov.encode(&mut head).map_err(MuxError::from)?;
            size = (head.len() + LONG_HEADER) as u64;
        }
        head.put_u32(1);
        head.put_slice(b"mdat");
        head.put_u64(self.payload + LONG_HEADER as u64);
        Ok(head.freeze())
    }
}

/// From 1904 to 1970, in seconds.
const EPOCH_1904: u64 = 2_082_844_800;

/// The first tick that is not before a time.
fn ceil_ticks(us: i64, scale: u32) -> i64 {
    let (us, scale) = (i128::from(us), i128::from(scale));
    // Times are given to the microsecond at best: a tick that began within the same one counts.
    let ticks = ((us - 1) * scale).div_euclid(1_000_000) + 1;
    i64::try_from(ticks).unwrap_or(if us < 0 { i64::MIN } else { i64::MAX })
}

impl Lane {
    /// The track of the strip's codec; `None` where there is one of another codec.
    fn of<'a>(place: &'a mut Option<Self>, strip: &Strip) -> Option<&'a mut Self> {
        let lane = place.get_or_insert_with(|| Self {
            trak: strip.trak.clone(),
            timescale: strip.timescale,
            base: None,
            newest: (0, 0),
            ends: 0,
            deltas: Runs::default(),
            offsets: Runs::default(),
            sizes: Vec::new(),
            keys: Vec::new(),
            chunks: Vec::new(),
        });
        let kind = |trak: &mp4::Trak| trak.mdia.minf.stbl.stsd.codecs.first().map(std::mem::discriminant);
        (kind(&lane.trak) == kind(&strip.trak)).then_some(lane)
    }

    /// Number of the strip's description among those of this track, from one.
    fn description(&mut self, strip: &Strip) -> u32 {
        let known = &mut self.trak.mdia.minf.stbl.stsd.codecs;
        let Some(own) = strip.trak.mdia.minf.stbl.stsd.codecs.first() else { return 1 };
        let place = known.iter().position(|codec| codec == own).unwrap_or_else(|| {
            known.push(own.clone());
            known.len() - 1
        });
        u32::try_from(place).unwrap_or(0) + 1
    }

    /// `shown` is when, in ticks of this track since the movie's beginning; `at` where in the payload.
    fn push(&mut self, strip: &Strip, sample: &Place, shown: i64, at: u64) {
        let ticks = |ticks: i64| rescale(ticks, strip.timescale, self.timescale);
        let duration = u32::try_from(ticks(sample.duration.into())).unwrap_or(0);
        let mut decode = shown - ticks(sample.offset.into());
        if self.base.is_some() {
            decode = decode.max(self.newest.0 + 1);
            self.deltas.push(u32::try_from(decode - self.newest.0).unwrap_or(u32::MAX));
        } else {
            self.base = Some(decode);
        }
        self.newest = (decode, duration);
        self.ends = self.ends.max(shown + i64::from(duration));
        self.offsets.push(shown - decode);
        self.sizes.push(sample.size);
        if sample.key {
            self.keys.push(u32::try_from(self.sizes.len()).unwrap_or(u32::MAX));
        }
        let description = self.description(strip);
        let end = |(begin, count, _): (u64, u32, u32), sizes: &[u32]| {
            let own = sizes.len().saturating_sub(1);
            let from = own.saturating_sub(count as usize);
            begin + sizes[from..own].iter().map(|&s| u64::from(s)).sum::<u64>()
        };
        // A chunk stays short, so that the look back does.
        match self.chunks.last().copied() {
            Some(chunk) if chunk.2 == description && chunk.1 < 64 && end(chunk, &self.sizes) == at => {
                if let Some(chunk) = self.chunks.last_mut() {
                    chunk.1 += 1;
                }
            }
            _ => self.chunks.push((at, 1, description)),
        }
    }

    fn trak(&self, number: u32, length: i64, movie: u32, payload_at: u64) -> mp4::Trak {
        let base = self.base.unwrap_or(0);
        let unsigned = |ticks: i64| u64::try_from(ticks).unwrap_or(0);
        let total: u64 = self.deltas.0.iter().map(|&(n, d)| u64::from(n) * u64::from(d)).sum::<u64>()
            + u64::from(self.newest.1);
        let shown = rescale(self.ends, self.timescale, movie).min(length).max(0);
        let mut edits = Vec::new();
        let edit = |duration: i64, media_time| mp4::ElstEntry {
            segment_duration: unsigned(duration),
            media_time,
            media_rate: 1.into(),
        };
        // Sound that begins after the picture waits; what lies before the beginning is cut.
        let late = rescale(base.max(0), self.timescale, movie);
        if late > 0 {
            edits.push(edit(late, None));
        }
        edits.push(edit(shown - late, Some(unsigned(-base))));
        let mut trak = self.trak.clone();
        trak.tkhd.track_id = number;
        trak.tkhd.duration = unsigned(shown);
        trak.tkhd.enabled = true;
        trak.edts = Some(mp4::Edts { elst: Some(mp4::Elst { entries: edits }) });
        trak.mdia.mdhd.duration = total;
        let stbl = &mut trak.mdia.minf.stbl;
        stbl.stts.entries = Vec::with_capacity(self.deltas.0.len() + 1);
        for (sample_count, sample_delta) in &self.deltas.0 {
            stbl.stts
                .entries
                .push(mp4::SttsEntry { sample_count: *sample_count, sample_delta: *sample_delta });
        }
        match stbl.stts.entries.last_mut() {
            Some(last) if last.sample_delta == self.newest.1 => last.sample_count += 1,
            _ => stbl.stts.entries.push(mp4::SttsEntry { sample_count: 1, sample_delta: self.newest.1 }),
        }
        stbl.ctts = self.offsets.0.iter().any(|(_, offset)| *offset != 0).then(|| mp4::Ctts {
            entries: self
                .offsets
                .0
                .iter()
                .map(|&(sample_count, sample_offset)| mp4::CttsEntry { sample_count, sample_offset })
                .collect(),
        });
        stbl.stss = (self.keys.len() < self.sizes.len()).then(|| mp4::Stss { entries: self.keys.clone() });
        stbl.stsz.samples = mp4::StszSamples::Different { sizes: self.sizes.clone() };
        let mut runs: Vec<mp4::StscEntry> = Vec::new();
        for (chunk, (_, count, description)) in (1..).zip(&self.chunks) {
            let same = |run: &mp4::StscEntry| {
                run.samples_per_chunk == *count && run.sample_description_index == *description
            };
            if !runs.last().is_some_and(same) {
                runs.push(mp4::StscEntry {
                    first_chunk: chunk,
                    samples_per_chunk: *count,
                    sample_description_index: *description,
                });
            }
        }
        stbl.stsc.entries = runs;
        stbl.stco = None;
        stbl.co64 = Some(mp4::Co64 { entries: self.chunks.iter().map(|(at, ..)| payload_at + at).collect() });
        trak
    }
}
