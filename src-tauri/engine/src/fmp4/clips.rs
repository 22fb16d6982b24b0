//! Real streams for tests: encoded by ffmpeg, taken apart by `mp4-atom`; and fragments read back.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use mp4_atom::{self as mp4, Atom as _, ReadFrom as _};
use tokio::time::Instant;

use crate::media::{Codec, Frame, Parameters, TrackId, TrackInfo, TrackKind};

/// A clip as a camera would send it.
#[derive(Clone, Debug)]
pub(crate) struct Clip {
    pub(crate) tracks: Vec<TrackInfo>,
    /// By decode time, tracks mixed.
    pub(crate) frames: Vec<ClipFrame>,
    pub(crate) file: Bytes,
}

#[derive(Clone, Debug)]
pub(crate) struct ClipFrame {
    pub(crate) track: TrackId,
    pub(crate) pts: i64,
    pub(crate) key: bool,
    pub(crate) data: Bytes,
    /// Decode time in seconds, for pacing and mixing.
    pub(crate) at: f64,
}

impl ClipFrame {
    pub(crate) fn frame(&self, arrival: Instant) -> Frame {
        Frame {
            track: self.track,
            pts: self.pts,
            arrival,
            wall: SystemTime::UNIX_EPOCH,
            key: self.key,
            generation: 0,
            loss: 0,
            data: self.data.clone(),
            packets: Default::default(),
        }
    }
}

const VIDEO: &str = "testsrc2=size=320x180:rate=25:duration=4,format=yuv420p";
const SOUND: &str = "sine=frequency=440:sample_rate=48000:duration=4";

impl Clip {
    /// Four seconds, key frames every second, picture coded by `video` and sound by `audio` arguments.
    pub(crate) fn made(video: &[&str], audio: &[&str]) -> Self {
        let mut args = vec!["-f", "lavfi", "-i", VIDEO];
        if !audio.is_empty() {
            args.extend(["-f", "lavfi", "-i", SOUND]);
        }
        args.extend(["-g", "25"]);
        args.extend(video);
        args.extend(audio);
        Self::read(&ffmpeg_file(&args, &[]))
    }

    pub(crate) fn h264() -> Self {
        Self::made(&["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency"], &[])
    }

    pub(crate) fn h264_aac() -> Self {
        Self::made(
            &["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency"],
            &["-c:a", "aac", "-ac", "1", "-b:a", "64k"],
        )
    }

    pub(crate) fn h264_b_frames() -> Self {
        Self::made(&["-c:v", "libx264", "-preset", "medium", "-bf", "3", "-b_strategy", "0"], &[])
    }

    pub(crate) fn h265() -> Self {
        let params = "log-level=none:bframes=0:keyint=25:min-keyint=25:scenecut=0";
        Self::made(
            &["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", params, "-tag:v", "hvc1"],
            &[],
        )
    }

    /// Takes a plain MP4 apart.
    pub(crate) fn read(file: &Bytes) -> Self {
        let moov = boxes(file).find_map(|b| b.moov).expect("a moov");
        let mut tracks = Vec::new();
        let mut frames = Vec::new();
        for (id, trak) in moov.trak.iter().enumerate() {
            let id = u8::try_from(id).expect("few tracks");
            let coded = samples(id, trak, file);
            tracks.push(info(id, trak, &coded));
            frames.extend(coded);
        }
        frames.sort_by(|a, b| a.at.total_cmp(&b.at).then(a.track.cmp(&b.track)));
        Self { tracks, frames, file: file.clone() }
    }
}

fn samples(id: u8, trak: &mp4::Trak, file: &[u8]) -> Vec<ClipFrame> {
    let stbl = &trak.mdia.minf.stbl;
    let timescale = f64::from(trak.mdia.mdhd.timescale);
    let sizes: Vec<u32> = match &stbl.stsz.samples {
        mp4::StszSamples::Identical { count, size } => vec![*size; *count as usize],
        mp4::StszSamples::Different { sizes } => sizes.clone(),
    };
    let chunks: Vec<u64> = match (&stbl.stco, &stbl.co64) {
        (Some(stco), _) => stco.entries.iter().map(|&o| u64::from(o)).collect(),
        (_, Some(co64)) => co64.entries.clone(),
        _ => vec![],
    };
    let mut offsets = Vec::new();
    for (n, &chunk) in chunks.iter().enumerate() {
        let run = stbl.stsc.entries.iter().rfind(|e| e.first_chunk as usize <= n + 1).expect("a run");
        let mut at = chunk;
        for _ in 0..run.samples_per_chunk {
            let Some(&size) = sizes.get(offsets.len()) else { break };
            offsets.push(at);
            at += u64::from(size);
        }
    }
    let mut times = stbl.stts.entries.iter().flat_map(|e| (0..e.sample_count).map(|_| e.sample_delta));
    let mut shifts = stbl.ctts.iter().flat_map(|c| &c.entries).flat_map(|e| {
        let offset = e.sample_offset;
        (0..e.sample_count).map(move |_| offset)
    });
    let mut dts = 0i64;
    let mut out = Vec::new();
    for (n, (&size, &offset)) in sizes.iter().zip(&offsets).enumerate() {
        let from = usize::try_from(offset).expect("fits");
        let number = u32::try_from(n + 1).expect("fits");
        out.push(ClipFrame {
            track: id,
            pts: dts + shifts.next().unwrap_or(0),
            key: stbl.stss.as_ref().is_none_or(|stss| stss.entries.contains(&number)),
            data: Bytes::copy_from_slice(&file[from..from + size as usize]),
            at: dts as f64 / timescale,
        });
        dts += i64::from(times.next().expect("a time"));
    }
    out
}

fn info(id: u8, trak: &mp4::Trak, coded: &[ClipFrame]) -> TrackInfo {
    // How many pictures come before one in decode order and after it in display order.
    let late = |n: usize| coded[..n].iter().filter(|f| f.pts > coded[n].pts).count();
    let reorder = u8::try_from((0..coded.len()).map(late).max().unwrap_or(0)).expect("few");
    let nal = |set: &[Vec<u8>]| Bytes::from(set.first().expect("a parameter set").clone());
    let (codec, parameters) = match trak.mdia.minf.stbl.stsd.codecs.first().expect("an entry") {
        mp4::Codec::Avc1(e) => (
            Codec::H264,
            Parameters::H264 {
                sps: nal(&e.avcc.sequence_parameter_sets),
                pps: nal(&e.avcc.picture_parameter_sets),
                width: e.visual.width,
                height: e.visual.height,
                reorder,
            },
        ),
        mp4::Codec::Hvc1(e) => {
            let of =
                |kind| nal(&e.hvcc.arrays.iter().find(|a| a.nal_unit_type == kind).expect("a set").nalus);
            let (width, height) = (e.visual.width, e.visual.height);
            (Codec::H265, Parameters::H265 { vps: of(32), sps: of(33), pps: of(34), width, height, reorder })
        }
        mp4::Codec::Vp09(e) => {
            (Codec::Vp9, Parameters::Video { width: e.visual.width, height: e.visual.height })
        }
        mp4::Codec::Av01(e) => {
            (Codec::Av1, Parameters::Video { width: e.visual.width, height: e.visual.height })
        }
        mp4::Codec::Mp4a(e) => {
            let specific = e.esds.es_desc.dec_config.dec_specific.as_ref().expect("a config");
            (
                Codec::Aac,
                Parameters::Aac {
                    config: specific.raw.clone().into(),
                    sample_rate: u32::from(e.audio.sample_rate.integer()),
                    channels: u8::try_from(e.audio.channel_count).expect("few"),
                },
            )
        }
        mp4::Codec::Opus(e) => {
            (Codec::Opus, Parameters::Audio { sample_rate: 48_000, channels: e.dops.output_channel_count })
        }
        other => panic!("no test has this codec: {other:?}"),
    };
    let video = trak.mdia.hdlr.handler == mp4::FourCC::new(b"vide");
    TrackInfo {
        id,
        kind: if video { TrackKind::Video } else { TrackKind::Audio },
        codec,
        timescale: trak.mdia.mdhd.timescale,
        parameters,
        generation: 0,
        note: None,
    }
}

/// Runs ffmpeg; the output file's bytes.
pub(crate) fn ffmpeg_file(args: &[&str], input: &[u8]) -> Bytes {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let stem = std::env::temp_dir().join(format!("nightjar-clip-{}-{number}", std::process::id()));
    let (from, to) = (stem.with_extension("in"), stem.with_extension("mp4"));
    std::fs::write(&from, input).expect("a writable directory for temporary files");
    let from_name = from.to_string_lossy().into_owned();
    let args: Vec<&str> = args.iter().map(|&a| if a == "INPUT" { from_name.as_str() } else { a }).collect();
    let run = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-v", "error", "-y"])
        .args(args)
        .arg(&to)
        .output()
        .expect("ffmpeg is installed by scripts/setup");
    let out = std::fs::read(&to).unwrap_or_default();
    let _ = std::fs::remove_file(&from);
    let _ = std::fs::remove_file(&to);
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && said.trim().is_empty(), "ffmpeg: {said}");
    out.into()
}

/// The decoded pictures or sound of a stream, one line with time and hash each, as ffmpeg sees them.
pub(crate) fn decoded(stream: &[u8], track: &str) -> Vec<(i64, String)> {
    let map = format!("0:{track}");
    let args = ["-i", "INPUT", "-map", &map, "-fps_mode", "passthrough", "-f", "framemd5"];
    let text = ffmpeg_file(&args, stream);
    let text = std::str::from_utf8(&text).expect("text");
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let mut fields = line.split(',').map(str::trim);
            let pts = fields.nth(2).expect("a time").parse().expect("a number");
            (pts, fields.nth(2).expect("a hash").to_owned())
        })
        .collect()
}

/// The top-level boxes of a file or segment.
#[derive(Debug, Default)]
pub(crate) struct Top {
    pub(crate) moov: Option<mp4::Moov>,
    pub(crate) moof: Option<mp4::Moof>,
    pub(crate) at: usize,
    pub(crate) size: usize,
    pub(crate) kind: [u8; 4],
}

pub(crate) fn boxes(bytes: &[u8]) -> impl Iterator<Item = Top> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let mut rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let all = rest.len();
        let header = mp4::Header::read_from(&mut rest).expect("a box header");
        let head = all - rest.len();
        let body = header.size.unwrap_or(rest.len());
        let mut inner = rest.get(..body).expect("a whole box");
        let mut top = Top { at, size: head + body, kind: header.kind.into(), ..Top::default() };
        if header.kind == mp4::Moov::KIND {
            top.moov = Some(mp4::Moov::decode_body(&mut inner).expect("a readable moov"));
        } else if header.kind == mp4::Moof::KIND {
            top.moof = Some(mp4::Moof::decode_body(&mut inner).expect("a readable moof"));
        } else if header.kind == mp4::Ftyp::KIND {
            mp4::Ftyp::decode_body(&mut inner).expect("a readable ftyp");
        }
        at += head + body;
        Some(top)
    })
}

/// A sample as a player would find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) track: TrackId,
    pub(crate) decode: i64,
    pub(crate) shown: i64,
    pub(crate) duration: i64,
    pub(crate) key: bool,
    pub(crate) data: Bytes,
}

/// The samples of fragments, and that there is nothing else in them.
pub(crate) fn read_back(fragments: &Bytes) -> Vec<Read> {
    let tops: Vec<Top> = boxes(fragments).collect();
    let mut out = Vec::new();
    for pair in tops.chunks(2) {
        let [head, body] = pair else { panic!("a moof without its mdat") };
        assert_eq!((&head.kind, &body.kind), (b"moof", b"mdat"));
        let mut expected = body.at + 8;
        for traf in &head.moof.as_ref().expect("a moof").traf {
            assert!(traf.tfhd.default_base_is_moof);
            let mut decode =
                i64::try_from(traf.tfdt.as_ref().expect("a tfdt").base_media_decode_time).expect("sane");
            for trun in &traf.trun {
                let offset = usize::try_from(trun.data_offset.expect("an offset")).expect("positive");
                let mut at = head.at + offset;
                assert_eq!(at, expected, "payload follows without holes");
                for entry in &trun.samples {
                    let size = entry.size.expect("a size") as usize;
                    let duration = i64::from(entry.duration.expect("a duration"));
                    out.push(Read {
                        track: u8::try_from(traf.tfhd.track_id - 1).expect("few tracks"),
                        decode,
                        shown: decode + entry.cts.unwrap_or(0),
                        duration,
                        key: entry.flags.expect("flags") & 0x1_0000 == 0,
                        data: fragments.slice(at..at + size),
                    });
                    decode += duration;
                    at += size;
                }
                expected = at;
            }
        }
        assert_eq!(expected, body.at + body.size, "the mdat holds the samples and nothing else");
    }
    out
}
