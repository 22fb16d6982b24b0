//! Reads a [`super::Hybrid`] file back, as far as it is whole.
//!
//! The bytes are foreign: every length is held against the file's, nothing is read at once that is larger
//! than [`BOX_MAX`], and what makes no sense ends the survey.

use std::io::{self, Read, Seek, SeekFrom};

use bytes::{Buf as _, Bytes};
use mp4_atom::{self as mp4, Atom as _};

use super::hybrid::{BRANDS, NOTE_MAX};
use super::index::{Entry, Index, LONG_HEADER, alone};

/// A `moov` or `moof` larger than this is not ours: a day of sound and pictures has less.
const BOX_MAX: u64 = 256 << 20;

/// What a file turned out to be.
#[derive(Debug)]
pub enum Survey {
    /// A plain file: one `mdat`, then its `moov`, and all samples within.
    Sealed { note: Bytes, duration_us: u64 },
    /// Fragments. `index` has those that are whole. What lies after them is worth nothing, unless it was
    /// `damaged`: then there are whole fragments in it.
    Open { note: Bytes, index: Box<Index>, damaged: bool },
}

/// Why a file cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    #[error("the file cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It does not begin as a file of ours does.
    #[error("the file was not written by Nightjar")]
    Foreign,
    /// It is ours but ends within its head: there is not one picture in it.
    #[error("the file ends before its first picture")]
    Empty,
    /// There are pictures in it, behind something that cannot be read.
    #[error("the file is damaged before its first picture")]
    Damaged,
    /// It is sealed but does not hold what its tables say.
    #[error("the tables of the file do not fit its bytes")]
    Broken,
}

/// A box's place in the file.
#[derive(Clone, Copy, Debug)]
struct Place {
    kind: [u8; 4],
    /// Where the box begins.
    at: u64,
    /// Bytes of its header.
    head: u64,
    /// Where it ends.
    end: u64,
}

/// Looks through a file of `length` bytes.
///
/// # Errors
/// [`SurveyError`].
pub fn survey<R: Read + Seek>(file: &mut R, length: u64) -> Result<Survey, SurveyError> {
    if length == 0 {
        return Err(SurveyError::Empty);
    }
    let Some(ftyp) = place(file, 0, length)? else { return Err(SurveyError::Foreign) };
    let ours = &ftyp.kind == b"ftyp" && ftyp.end <= 256 && body(file, ftyp)?.as_deref() == Some(BRANDS);
    if !ours {
        return Err(SurveyError::Foreign);
    }
    let Some(room) = place(file, ftyp.end, length)? else { return Err(nothing(file, ftyp.end, length)?) };
    match &room.kind {
        b"free" if room.end - room.at <= (LONG_HEADER + 2 + NOTE_MAX) as u64 => open(file, length, room),
        b"mdat" if room.head == LONG_HEADER as u64 => sealed(file, length, room),
        _ => Err(SurveyError::Foreign),
    }
}

/// The box at `at`, if it is there whole.
fn place<R: Read + Seek>(file: &mut R, at: u64, length: u64) -> io::Result<Option<Place>> {
    let left = length.saturating_sub(at);
    let want = usize::try_from(left.min(LONG_HEADER as u64)).unwrap_or(LONG_HEADER);
    if want < 8 {
        return Ok(None);
    }
    let mut bytes = [0; LONG_HEADER];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut bytes[..want])?;
    let mut header = &bytes[..want];
    let short = u64::from(header.get_u32());
    let mut kind = [0; 4];
    header.copy_to_slice(&mut kind);
    let (head, size) = match short {
        1 if header.len() >= 8 => (LONG_HEADER as u64, header.get_u64()),
        1 => return Ok(None),
        size => (8, size),
    };
    Ok((size >= head && size <= left).then(|| Place { kind, at, head, end: at + size }))
}

fn body<R: Read + Seek>(file: &mut R, place: Place) -> io::Result<Option<Bytes>> {
    let size = place.end - place.at - place.head;
    if size > BOX_MAX {
        return Ok(None);
    }
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    file.seek(SeekFrom::Start(place.at + place.head))?;
    file.read_exact(&mut bytes)?;
    Ok(Some(bytes.into()))
}

fn read_moov<R: Read + Seek>(file: &mut R, place: Place) -> io::Result<Option<mp4::Moov>> {
    let Some(mut bytes) = body(file, place)?.filter(|_| &place.kind == b"moov") else { return Ok(None) };
    Ok(mp4::Moov::decode_body(&mut bytes).ok().filter(|moov| !moov.trak.is_empty()))
}

fn open<R: Read + Seek>(file: &mut R, length: u64, room: Place) -> Result<Survey, SurveyError> {
    let note = note(file, room)?;
    let Some(head) = place(file, room.end, length)? else { return Err(nothing(file, room.end, length)?) };
    let moov = read_moov(file, head)?.filter(|moov| moov.mvex.is_some()).ok_or(SurveyError::Foreign)?;
    let mut index = Index::new(moov, room.at, head.end);
    while let Some(moof) = place(file, index.end(), length)? {
        let Some(mdat) = place(file, moof.end, length)? else { break };
        if &moof.kind != b"moof" || &mdat.kind != b"mdat" {
            break;
        }
        let Some(mut bytes) = body(file, moof)? else { break };
        let Ok(parsed) = mp4::Moof::decode_body(&mut bytes) else { break };
        let Some(runs) = runs(&index, &parsed, moof, mdat) else { break };
        // Only the last fragment was not waited for: what lies before another one is on the disk.
        let last = place(file, mdat.end, length)?.is_none_or(|next| &next.kind != b"moof");
        if last && blank(file, mdat)? {
            break;
        }
        for (track, at, entries) in runs {
            index.run(track, at, entries);
        }
        index.grow(mdat.end);
    }
    if index.samples() == 0 {
        return Err(nothing(file, index.end(), length)?);
    }
    let damaged = goes_on(file, index.end(), length)?;
    Ok(Survey::Open { note, index: Box::new(index), damaged })
}

/// Why there is no picture before `at`.
fn nothing<R: Read + Seek>(file: &mut R, at: u64, length: u64) -> io::Result<SurveyError> {
    Ok(if goes_on(file, at, length)? { SurveyError::Damaged } else { SurveyError::Empty })
}

/// Whether a whole fragment begins behind `at`, where one cannot be read: a file that was cut short has none.
fn goes_on<R: Read + Seek>(file: &mut R, at: u64, length: u64) -> io::Result<bool> {
    // Of each piece but the first, the bytes in which a name may have begun are seen twice.
    let mut from = at + 1;
    let mut piece = vec![0; PIECE];
    while from < length {
        let size = usize::try_from(length - from).map_or(PIECE, |left| left.min(PIECE));
        file.seek(SeekFrom::Start(from))?;
        file.read_exact(&mut piece[..size])?;
        for (hit, _) in piece[..size].windows(4).enumerate().filter(|(_, name)| *name == b"moof") {
            let Some(begin) = (from + hit as u64).checked_sub(4).filter(|begin| *begin > at) else {
                continue;
            };
            if is_fragment(file, begin, length)? {
                return Ok(true);
            }
        }
        from += if size < PIECE { size } else { PIECE - 3 } as u64;
    }
    Ok(false)
}

/// Bytes that are searched at once.
const PIECE: usize = 1 << 20;

fn is_fragment<R: Read + Seek>(file: &mut R, at: u64, length: u64) -> io::Result<bool> {
    let Some(moof) = place(file, at, length)? else { return Ok(false) };
    let Some(mdat) = place(file, moof.end, length)?.filter(|mdat| &mdat.kind == b"mdat") else {
        return Ok(false);
    };
    let parsed = body(file, moof)?
        .is_some_and(|mut bytes| mp4::Moof::decode_body(&mut bytes).is_ok_and(|moof| !moof.traf.is_empty()));
    Ok(parsed && !blank(file, mdat)?)
}

/// Whether a part of it was given to the file but never written: coded pictures and sound have no such rows
/// of zeros.
fn blank<R: Read + Seek>(file: &mut R, mdat: Place) -> io::Result<bool> {
    let bytes = body(file, mdat)?.unwrap_or_default();
    let mut zeros = 0;
    Ok(bytes.iter().any(|byte| {
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        zeros >= BLANK
    }))
}

/// Zeros in a row that no coder makes.
const BLANK: usize = 64;

type Run = (usize, u64, Vec<Entry>);

/// The runs of a fragment, if all of them lie within its `mdat`.
fn runs(index: &Index, moof: &mp4::Moof, head: Place, mdat: Place) -> Option<Vec<Run>> {
    let mut runs = Vec::new();
    for traf in &moof.traf {
        let track = index.place(traf.tfhd.track_id)?;
        let mut decode = traf.tfdt.as_ref()?.base_media_decode_time;
        for trun in &traf.trun {
            let begin = head.at.checked_add(u64::try_from(trun.data_offset?).ok()?)?;
            let mut at = begin;
            let mut entries = Vec::new();
            for sample in trun.samples.iter() {
                let (size, duration) = (sample.size?, sample.duration?);
                let offset = i32::try_from(sample.cts.unwrap_or(0)).ok()?;
                entries.push(Entry { decode, duration, offset, size, key: alone(sample.flags?) });
                decode = decode.checked_add(u64::from(duration))?;
                at = at.checked_add(u64::from(size))?;
            }
            if begin < mdat.at + mdat.head || at > mdat.end {
                return None;
            }
            runs.push((track, begin, entries));
        }
    }
    Some(runs)
}

fn sealed<R: Read + Seek>(file: &mut R, length: u64, room: Place) -> Result<Survey, SurveyError> {
    let moov = match place(file, room.end, length)? {
        Some(place) if place.end == length => read_moov(file, place)?,
        _ => None,
    };
    let moov = moov.ok_or(SurveyError::Broken)?;
    for trak in &moov.trak {
        if !within(trak, room) {
            return Err(SurveyError::Broken);
        }
    }
    let duration_us = moov.mvhd.duration.saturating_mul(1_000_000) / u64::from(moov.mvhd.timescale.max(1));
    Ok(Survey::Sealed { note: note(file, room)?, duration_us })
}

/// What the writer left behind the header of the room: a length of 16 bits and as many bytes.
fn note<R: Read + Seek>(file: &mut R, room: Place) -> io::Result<Bytes> {
    let probe = Place { head: LONG_HEADER as u64, end: room.end.min(room.at + NOTE_ROOM), ..room };
    if probe.end < probe.at + probe.head + 2 {
        return Ok(Bytes::new());
    }
    let mut bytes = body(file, probe)?.unwrap_or_default();
    let length = usize::from(bytes.get_u16());
    Ok(if length <= bytes.len() { bytes.slice(..length) } else { Bytes::new() })
}

const NOTE_ROOM: u64 = (LONG_HEADER + 2 + NOTE_MAX) as u64;

/// Whether the chunks of a track lie within the `mdat`.
fn within(trak: &mp4::Trak, mdat: Place) -> bool {
    let stbl = &trak.mdia.minf.stbl;
    let mp4::StszSamples::Different { sizes } = &stbl.stsz.samples else { return false };
    let chunks: Vec<u64> = match (&stbl.stco, &stbl.co64) {
        (Some(near), None) => near.entries.iter().map(|&at| u64::from(at)).collect(),
        (None, Some(far)) => far.entries.clone(),
        _ => return false,
    };
    let timed: u64 = stbl.stts.entries.iter().map(|entry| u64::from(entry.sample_count)).sum();
    let mut sizes_left = sizes.iter();
    let mut runs = stbl.stsc.entries.iter().peekable();
    let mut each = 0;
    for (number, at) in (1..).zip(&chunks) {
        if let Some(run) = runs.next_if(|run| run.first_chunk == number) {
            each = run.samples_per_chunk;
        }
        let bytes: u64 = sizes_left.by_ref().take(each as usize).map(|&size| u64::from(size)).sum();
        let inside = *at >= mdat.at + mdat.head && at.checked_add(bytes).is_some_and(|end| end <= mdat.end);
        if !inside {
            return false;
        }
    }
    sizes_left.next().is_none() && timed == sizes.len() as u64 && !sizes.is_empty()
}
