//! MP4: samples in, init segment and fragments or the bytes of a [`Hybrid`] file out. Bytes only; the one user of `mp4-atom`.
//!
//! Invariants: a fragment is one `moof` and one `mdat` with nothing between them; payload is not copied
//! until somebody asks for one buffer; what is written can be read back by any ISO 14496-12 reader. It
//! knows neither clocks nor files nor sockets: when a sample is decoded is the caller's to say, with
//! [`DecodeClock`] at hand for streams that carry presentation times only.

mod clock;
mod entry;
mod footage;
mod hybrid;
mod index;
pub(crate) mod nal;
mod splice;
mod survey;

use bytes::{BufMut, Bytes, BytesMut};
use mp4_atom::{self as mp4, Encode as _};

use crate::media::{Codec, TrackId, TrackInfo, TrackKind};

pub use clock::{DecodeClock, Stamp};
pub use footage::{Footage, FootageError, Place, Strip};
pub use hybrid::{Hybrid, NOTE_MAX};
pub use index::{Index, Seal};
pub use splice::{Extent, Splice, SpliceError, Start};
pub use survey::{Survey, SurveyError, survey};

/// Why a track or a sample cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum MuxError {
    /// MP4 has no place for this codec.
    #[error("{0} does not fit into MP4")]
    Codec(Codec),
    /// The decoder configuration is missing or makes no sense.
    #[error("the parameters of the {0} track are missing or broken")]
    Parameters(Codec),
    /// No track at all, or one without a timescale.
    #[error("there is no track to write")]
    NoTrack,
    /// A sample names a track that is not in the init segment.
    #[error("track {0} is not in this file")]
    UnknownTrack(TrackId),
    /// More than a fragment can address (2 GiB).
    #[error("a fragment of {0} bytes is too large")]
    TooLarge(usize),
    /// A box could not be written.
    #[error("a box could not be written: {0}")]
    Box(#[from] mp4::Error),
}

/// One access unit with its place on the decode time line.
#[derive(Clone, Debug)]
pub struct Sample {
    pub track: TrackId,
    /// Decode time in ticks of the track.
    pub decode: u64,
    /// Ticks to the next sample. Looked at for the last sample of its track in a fragment only; before
    /// that the distance to the next one counts.
    pub duration: u32,
    /// Presentation minus decode time, in ticks.
    pub offset: i32,
    /// Decodable without any earlier sample.
    pub key: bool,
    /// As in [`crate::media::Frame::data`].
    pub data: Bytes,
}

/// A `moof` and its `mdat`, as a chain of buffers.
#[derive(Clone, Debug)]
pub struct Fragment {
    head: Bytes,
    payload: Vec<Bytes>,
}

impl Fragment {
    /// Bytes in all.
    #[must_use]
    pub fn size(&self) -> usize {
        self.head.len() + self.payload.iter().map(Bytes::len).sum::<usize>()
    }

    /// The buffers in order, for vectored writing.
    pub fn chunks(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.head).chain(&self.payload)
    }

    /// One buffer; copies the payload.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut all = BytesMut::with_capacity(self.size());
        for chunk in self.chunks() {
            all.put_slice(chunk);
        }
        all.freeze()
    }
}

/// Writes one stream of a fixed set of tracks.
#[derive(Debug)]
pub struct Muxer {
    tracks: Vec<Track>,
    sequence: u32,
}

#[derive(Debug)]
struct Track {
    info: TrackInfo,
    entry: mp4::Codec,
    name: String,
}

/// Sample flags (ISO 14496-12 8.8.3.1): depends on no other; depends on others and is no sync sample.
const KEY: u32 = 0x0200_0000;
const DELTA: u32 = 0x0101_0000;
/// Set on what cannot be decoded alone.
const NOT_ALONE: u32 = 0x0001_0000;
/// Ticks per second of the movie header; no sample is timed by it.
const MOVIE_TIMESCALE: u32 = 1_000;

impl Muxer {
    /// A muxer for these tracks, in this order.
    ///
    /// # Errors
    /// When one of them cannot be written, see [`Muxer::accepts`].
    pub fn new(tracks: &[TrackInfo]) -> Result<Self, MuxError> {
        let tracks = tracks
            .iter()
            .map(|info| {
                (info.timescale > 0).then_some(()).ok_or(MuxError::NoTrack)?;
                let (entry, name) = entry::describe(info)?;
                Ok(Track { info: info.clone(), entry, name })
            })
            .collect::<Result<Vec<_>, MuxError>>()?;
        if tracks.is_empty() {
            return Err(MuxError::NoTrack);
        }
        Ok(Self { tracks, sequence: 0 })
    }

    /// Whether a track can be written.
    ///
    /// # Errors
    /// Says why not.
    pub fn accepts(track: &TrackInfo) -> Result<(), MuxError> {
        entry::describe(track).map(|_| ())
    }

    /// The tracks it writes.
    pub fn tracks(&self) -> impl Iterator<Item = &TrackInfo> {
        self.tracks.iter().map(|track| &track.info)
    }

    /// The exact MIME type, for instance `video/mp4; codecs="avc1.64001f, mp4a.40.2"`.
    #[must_use]
    pub fn mime(&self) -> String {
        let video = self.tracks().any(|track| track.kind == TrackKind::Video);
        let kind = if video { "video" } else { "audio" };
        let names: Vec<&str> = self.tracks.iter().map(|track| track.name.as_str()).collect();
        format!("{kind}/mp4; codecs=\"{}\"", names.join(", "))
    }

    /// The init segment: `ftyp` and `moov`.
    ///
    /// # Errors
    /// [`MuxError::Box`] for parameters that do not fit into their box.
    pub fn init(&self) -> Result<Bytes, MuxError> {
        let brand = mp4::FourCC::new;
        let ftyp = mp4::Ftyp {
            major_brand: brand(b"iso6"),
            minor_version: 0,
            compatible_brands: vec![brand(b"iso6"), brand(b"cmfc"), brand(b"mp41")],
        };
        let mut bytes = BytesMut::new();
        ftyp.encode(&mut bytes)?;
        self.moov().encode(&mut bytes)?;
        Ok(bytes.freeze())
    }

    /// The `moov` that fragments follow.
    fn moov(&self) -> mp4::Moov {
        mp4::Moov {
            mvhd: mp4::Mvhd {
                timescale: MOVIE_TIMESCALE,
                rate: 1.into(),
                volume: 1.into(),
                next_track_id: u32::try_from(self.tracks.len()).unwrap_or(u32::MAX).saturating_add(1),
                ..Default::default()
            },
            mvex: Some(mp4::Mvex { mehd: None, trex: self.tracks.iter().map(Track::trex).collect() }),
            trak: self.tracks.iter().map(Track::trak).collect(),
            meta: None,
            udta: None,
            ainf: None,
        }
    }

    /// A fragment of these samples. Those of one track are in decode order; tracks may be mixed.
    ///
    /// # Errors
    /// [`MuxError::UnknownTrack`], [`MuxError::TooLarge`], [`MuxError::NoTrack`] for no samples.
    pub fn fragment(&mut self, samples: &[Sample]) -> Result<Fragment, MuxError> {
        let known = |id| self.tracks.iter().any(|track| track.info.id == id);
        if let Some(sample) = samples.iter().find(|sample| !known(sample.track)) {
            return Err(MuxError::UnknownTrack(sample.track));
        }
        let size = samples.iter().map(|sample| sample.data.len()).sum::<usize>();
        // Leaves the boxes themselves more room than they can need.
        if size > (1 << 30) || samples.len() > (1 << 20) {
            return Err(MuxError::TooLarge(size));
        }
        let runs: Vec<Vec<&Sample>> = self
            .tracks
            .iter()
            .map(|track| samples.iter().filter(|sample| sample.track == track.info.id).collect::<Vec<_>>())
            .filter(|run| !run.is_empty())
            .collect();
        if runs.is_empty() {
            return Err(MuxError::NoTrack);
        }
        self.sequence = self.sequence.wrapping_add(1);
        let mut moof = mp4::Moof {
            mfhd: mp4::Mfhd { sequence_number: self.sequence },
            traf: runs.iter().map(|run| traf(run)).collect(),
        };
        // Offsets count from the start of the moof, whose size does not depend on them.
        let mut head = BytesMut::new();
        moof.encode(&mut head)?;
        let mut offset = head.len() + MDAT_HEAD;
        for (traf, run) in moof.traf.iter_mut().zip(&runs) {
            for trun in &mut traf.trun {
                trun.data_offset = Some(i32::try_from(offset).map_err(|_| MuxError::TooLarge(size))?);
            }
            offset += run.iter().map(|sample| sample.data.len()).sum::<usize>();
        }
        head.clear();
        moof.encode(&mut head)?;
        head.put_u32(u32::try_from(MDAT_HEAD + size).map_err(|_| MuxError::TooLarge(size))?);
        head.put_slice(b"mdat");
        let payload = runs.into_iter().flatten().map(|sample| sample.data.clone()).collect();
        Ok(Fragment { head: head.freeze(), payload })
    }
}

const MDAT_HEAD: usize = 8;

/// Samples of one track; not empty.
fn traf(run: &[&Sample]) -> mp4::Traf {
    let shifted = run.iter().any(|sample| sample.offset != 0);
    let next = run.iter().skip(1).map(Some).chain(std::iter::once(None));
    let entries = run
        .iter()
        .zip(next)
        .map(|(sample, next)| {
            let distance = next.map(|next| next.decode.saturating_sub(sample.decode));
            mp4::TrunEntry {
                duration: Some(
                    distance.map_or(sample.duration, |ticks| u32::try_from(ticks).unwrap_or(u32::MAX)),
                ),
                size: u32::try_from(sample.data.len()).ok(),
                flags: Some(if sample.key { KEY } else { DELTA }),
                cts: shifted.then_some(i64::from(sample.offset)),
            }
        })
        .collect::<Vec<_>>();
    let first = run.first();
    mp4::Traf {
        tfhd: mp4::Tfhd {
            track_id: number(first.map_or(0, |sample| sample.track)),
            default_base_is_moof: true,
            ..Default::default()
        },
        tfdt: Some(mp4::Tfdt { base_media_decode_time: first.map_or(0, |sample| sample.decode) }),
        trun: vec![mp4::Trun { data_offset: Some(0), samples: entries.into() }],
        ..Default::default()
    }
}

/// Track ids of MP4 begin with one.
fn number(id: TrackId) -> u32 {
    u32::from(id) + 1
}

impl Track {
    fn trex(&self) -> mp4::Trex {
        mp4::Trex {
            track_id: number(self.info.id),
            default_sample_description_index: 1,
            ..Default::default()
        }
    }

    fn trak(&self) -> mp4::Trak {
        let video = self.info.kind == TrackKind::Video;
        let (width, height) = self.info.dimensions().unwrap_or((0, 0));
        mp4::Trak {
            tkhd: mp4::Tkhd {
                track_id: number(self.info.id),
                enabled: true,
                in_movie: true,
                volume: u8::from(!video).into(),
                alternate_group: u16::from(!video),
                width: width.into(),
                height: height.into(),
                ..Default::default()
            },
            mdia: mp4::Mdia {
                mdhd: mp4::Mdhd {
                    timescale: self.info.timescale,
                    language: "und".to_owned(),
                    ..Default::default()
                },
                hdlr: mp4::Hdlr {
                    handler: mp4::FourCC::new(if video { b"vide" } else { b"soun" }),
                    name: String::new(),
                },
                minf: mp4::Minf {
                    vmhd: video.then(mp4::Vmhd::default),
                    smhd: (!video).then(mp4::Smhd::default),
                    dinf: mp4::Dinf { dref: mp4::Dref { entries: vec![mp4::Url::default().into()] } },
                    stbl: mp4::Stbl {
                        stsd: mp4::Stsd { codecs: vec![self.entry.clone()] },
                        stco: Some(mp4::Stco::default()),
                        ..Default::default()
                    },
                    ..Default::default()
                },
            },
            ..Default::default()
        }
    }
}

#[cfg(test)]
pub(crate) mod clips;
#[cfg(test)]
mod tests;
