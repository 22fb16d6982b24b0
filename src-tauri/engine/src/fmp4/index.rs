//! The sample tables of a file in the making, and the plain `moov` that they become.

use bytes::{BufMut as _, Bytes, BytesMut};
use mp4_atom::{self as mp4, Encode as _};

use super::{MuxError, NOT_ALONE};
use crate::media::rescale;

/// Ticks per second of the movie: those of most video, so that edit lists are exact.
pub(super) const MOVIE: u32 = 90_000;
/// A box header with a 64-bit size.
pub(super) const LONG_HEADER: usize = 16;

/// Equal values in a row.
#[derive(Clone, Debug, Default)]
struct Runs<T>(Vec<(u32, T)>);

impl<T: PartialEq + Copy> Runs<T> {
    fn push(&mut self, value: T) {
        match self.0.last_mut() {
            Some((count, last)) if *last == value => *count += 1,
            _ => self.0.push((1, value)),
        }
    }
}

/// What is known of a track's samples; about eight bytes each at worst.
#[derive(Clone, Debug, Default)]
struct Table {
    first: Option<u64>,
    first_offset: i32,
    /// Decode time of the newest sample and its stated duration.
    newest: (u64, u32),
    /// Distances to the next sample, of all but the newest.
    deltas: Runs<u32>,
    offsets: Runs<i32>,
    shifted: bool,
    sizes: Vec<u32>,
    /// Numbers of the key samples, from one; kept until it is clear that all are.
    keys: Vec<u32>,
    /// Where a run of samples lies, and how many it has.
    chunks: Vec<(u64, u32)>,
}

/// One sample as a fragment states it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) decode: u64,
    pub(super) duration: u32,
    pub(super) offset: i32,
    pub(super) size: u32,
    pub(super) key: bool,
}

/// All samples of a file so far, and where its room for a header is.
#[derive(Clone, Debug)]
pub struct Index {
    /// The init segment's `moov`.
    template: mp4::Moov,
    tables: Vec<Table>,
    /// Where the `free` box begins.
    room: u64,
    /// Where the next fragment begins.
    end: u64,
}

/// What turns a file of fragments into a plain one: `moov` at `end`, then `header` at `at`.
#[derive(Clone, Debug)]
pub struct Seal {
    pub moov: Bytes,
    /// Where `moov` goes; the file ends after it.
    pub end: u64,
    /// An `mdat` header that swallows everything up to `end`.
    pub header: [u8; LONG_HEADER],
    /// Where `header` goes.
    pub at: u64,
}

impl Index {
    pub(super) fn new(template: mp4::Moov, room: u64, end: u64) -> Self {
        let tables = vec![Table::default(); template.trak.len()];
        Self { template, tables, room, end }
    }

    /// Bytes of head and whole fragments.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Samples in all.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.tables.iter().map(|table| table.sizes.len()).sum()
    }

    /// Place of a track number among the tracks.
    pub(super) fn place(&self, number: u32) -> Option<usize> {
        self.template.trak.iter().position(|trak| trak.tkhd.track_id == number)
    }

    /// A run of samples of the track at `place` that lies at `at`.
    pub(super) fn run(&mut self, place: usize, at: u64, entries: impl IntoIterator<Item = Entry>) {
        let Some(table) = self.tables.get_mut(place) else { return };
        let mut count = 0;
        for entry in entries {
            table.push(&entry);
            count += 1;
        }
        if count > 0 {
            table.chunks.push((at, count));
        }
    }

    pub(super) fn grow(&mut self, to: u64) {
        self.end = to;
    }

    pub(super) fn lasts_until(&mut self, place: usize, decode: u64) {
        let Some(table) = self.tables.get_mut(place) else { return };
        if let Some(ticks) = decode.checked_sub(table.newest.0).filter(|ticks| *ticks > 0) {
            table.newest.1 = u32::try_from(ticks).unwrap_or(u32::MAX);
        }
    }

    /// Microseconds from the first picture to the end of the last.
    #[must_use]
    pub fn duration_us(&self) -> u64 {
        let lead = self.lead();
        let end = self.spans().map(|(from, length)| from.saturating_add(length)).max().unwrap_or(lead);
        u64::try_from(rescale(end.saturating_sub(lead), MOVIE, 1_000_000)).unwrap_or(0)
    }

    /// Where the shown part of each track begins and how long it is, in movie ticks.
    fn spans(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.template.trak.iter().zip(&self.tables).filter(|(_, table)| table.first.is_some()).map(
            |(trak, table)| {
                let scale = trak.mdia.mdhd.timescale;
                let shown = table.shown();
                (rescale(shown, scale, MOVIE), rescale_up(table.length(), scale))
            },
        )
    }

    /// When the first sample of all is shown, in movie ticks.
    fn lead(&self) -> i64 {
        self.spans().map(|(from, _)| from).min().unwrap_or(0)
    }

    /// The plain file.
    ///
    /// # Errors
    /// [`MuxError::Box`] where a table does not fit into its box.
    pub fn seal(&self) -> Result<Seal, MuxError> {
        let mut moov = self.template.clone();
        moov.mvex = None;
        let lead = self.lead();
        let mut longest = 0;
        let mut trak = std::mem::take(&mut moov.trak);
        for (trak, table) in trak.iter_mut().zip(&self.tables) {
            longest = longest.max(table.fill(trak, lead));
        }
        // A track without a sample is none.
        moov.trak =
            trak.into_iter().zip(&self.tables).filter(|(_, t)| t.first.is_some()).map(|(t, _)| t).collect();
        moov.mvhd.duration = longest;
        let mut bytes = BytesMut::new();
        moov.encode(&mut bytes)?;
        let mut header = Vec::with_capacity(LONG_HEADER);
        header.put_u32(1);
        header.put_slice(b"mdat");
        header.put_u64(self.end - self.room);
        let mut fixed = [0; LONG_HEADER];
        fixed.copy_from_slice(&header);
        Ok(Seal { moov: bytes.freeze(), end: self.end, header: fixed, at: self.room })
    }
}

/// Rounds up, so that the last sample is not cut off.
fn rescale_up(ticks: i64, scale: u32) -> i64 {
    let (ticks, scale) = (i128::from(ticks), i128::from(scale.max(1)));
    let movie = i128::from(MOVIE);
    i64::try_from((ticks * movie + scale - 1) / scale).unwrap_or(i64::MAX)
}

impl Table {
    fn push(&mut self, entry: &Entry) {
        if self.first.is_none() {
            self.first = Some(entry.decode);
            self.first_offset = entry.offset;
        } else {
            let delta = entry.decode.saturating_sub(self.newest.0);
            self.deltas.push(u32::try_from(delta).unwrap_or(u32::MAX));
        }
        self.newest = (entry.decode, entry.duration);
        self.offsets.push(entry.offset);
        self.shifted |= entry.offset != 0;
        self.sizes.push(entry.size);
        if entry.key {
            self.keys.push(u32::try_from(self.sizes.len()).unwrap_or(u32::MAX));
        }
    }

    /// Ticks of media before the first sample is shown.
    fn skipped(&self) -> i64 {
        i64::from(self.first_offset.max(0))
    }

    /// When the first sample is shown, in ticks of the track.
    fn shown(&self) -> i64 {
        i64::try_from(self.first.unwrap_or(0)).unwrap_or(i64::MAX).saturating_add(self.skipped())
    }

    /// Ticks from the first sample to the end of the newest.
    fn length(&self) -> i64 {
        let (newest, duration) = self.newest;
        let ticks = newest.saturating_sub(self.first.unwrap_or(0)).saturating_add(u64::from(duration));
        i64::try_from(ticks).unwrap_or(i64::MAX)
    }

    /// Writes the tables into a track; its length in movie ticks.
    fn fill(&self, trak: &mut mp4::Trak, lead: i64) -> u64 {
        let scale = trak.mdia.mdhd.timescale;
        let positive = |ticks: i64| u64::try_from(ticks).unwrap_or(0);
        let late = positive(rescale(self.shown(), scale, MOVIE).saturating_sub(lead));
        // Pictures are shown as long as they are decoded, only later.
        let shown = positive(rescale_up(self.length(), scale));
        trak.mdia.mdhd.duration = positive(self.length());
        trak.tkhd.duration = late + shown;
        let skipped = positive(self.skipped());
        if late > 0 || skipped > 0 {
            let rate = mp4::FixedPoint::from(1);
            let pause = mp4::ElstEntry { segment_duration: late, media_time: None, media_rate: rate };
            let play =
                mp4::ElstEntry { segment_duration: shown, media_time: Some(skipped), media_rate: rate };
            let entries = if late > 0 { vec![pause, play] } else { vec![play] };
            trak.edts = Some(mp4::Edts { elst: Some(mp4::Elst { entries }) });
        }
        let mut deltas = self.deltas.clone();
        deltas.push(self.newest.1);
        let stbl = &mut trak.mdia.minf.stbl;
        stbl.stts.entries = (deltas.0.iter())
            .map(|&(sample_count, sample_delta)| mp4::SttsEntry { sample_count, sample_delta })
            .collect();
        stbl.ctts = self.shifted.then(|| mp4::Ctts {
            entries: (self.offsets.0.iter())
                .map(|&(sample_count, offset)| mp4::CttsEntry { sample_count, sample_offset: offset.into() })
                .collect(),
        });
        let all = self.keys.len() == self.sizes.len();
        stbl.stss = (!all).then(|| mp4::Stss { entries: self.keys.clone() });
        stbl.stsz.samples = mp4::StszSamples::Different { sizes: self.sizes.clone() };
        let mut runs: Vec<mp4::StscEntry> = Vec::new();
        for (first, (_, count)) in (1..).zip(&self.chunks) {
            if runs.last().is_none_or(|run| run.samples_per_chunk != *count) {
                runs.push(mp4::StscEntry {
                    first_chunk: first,
                    samples_per_chunk: *count,
                    sample_description_index: 1,
                });
            }
        }
        stbl.stsc.entries = runs;
        let near: Option<Vec<u32>> = self.chunks.iter().map(|(at, _)| u32::try_from(*at).ok()).collect();
        (stbl.stco, stbl.co64) = match near {
            Some(entries) => (Some(mp4::Stco { entries }), None),
            None => (None, Some(mp4::Co64 { entries: self.chunks.iter().map(|(at, _)| *at).collect() })),
        };
        late + shown
    }
}

/// What a fragment's entry says of being decodable alone.
pub(super) fn alone(flags: u32) -> bool {
    flags & NOT_ALONE == 0
}
