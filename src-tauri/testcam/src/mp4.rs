//! mp4 and mov files → samples. Reads what ffmpeg writes: one `moov` with plain sample tables.
//!
//! Errors are words for the command line. Every table is checked against the file's length, so
//! that a lying file costs no more memory than its own size.

use bytes::{Buf, Bytes};
use mp4_atom::{Atom, Codec, Decode, Header, Moov, StszSamples, Trak};

use crate::clip::{Audio, Sample, VIDEO_CLOCK, Video, VideoCodec};

/// Stack of the thread that decodes an index, in bytes.
const DECODER_STACK: usize = 8 << 20;

pub(crate) fn read(data: Bytes) -> Result<(Video, Option<Audio>), String> {
    let moov = find_moov(&data)?;
    let mut video = None;
    let mut audio = None;
    let mut seen = Vec::new();
    for trak in &moov.trak {
        let Some(codec) = trak.mdia.minf.stbl.stsd.codecs.first() else {
            continue;
        };
        match codec {
            Codec::Avc1(_) | Codec::Avc3(_) | Codec::Hvc1(_) | Codec::Hev1(_) | Codec::Jpeg(_) => {
                if video.is_none() {
                    video = Some(read_video(trak, codec, &data)?);
                }
            }
            Codec::Mp4a(entry) if entry.esds.es_desc.dec_config.object_type_indication == 0x40 => {
                if audio.is_none() {
                    audio = Some(read_audio(trak, codec, &data)?);
                }
            }
            Codec::Unknown(kind, _) => seen.push(kind.to_string()),
            _ => seen.push("an unsupported codec".to_owned()),
        }
    }
    match video {
        Some(video) => Ok((video, audio)),
        None if seen.is_empty() => Err("there is no video track".into()),
        None => Err(format!("no H.264, H.265 or Motion JPEG video in it, only {}", seen.join(", "))),
    }
}

fn find_moov(data: &Bytes) -> Result<Moov, String> {
    let mut rest = data.clone();
    while rest.remaining() >= 8 {
        let header = Header::decode(&mut rest).map_err(|_| "not an mp4 file".to_owned())?;
        let size = header.size.unwrap_or(rest.remaining());
        if size > rest.remaining() {
            return Err("the file is cut off, or not an mp4 file".into());
        }
        let mut body = rest.split_to(size);
        if header.kind == Moov::KIND {
            // The decoder nests deeply: without optimisation it wants more than what is left of a
            // test thread's two megabytes.
            let decode = move || Moov::decode_body(&mut body).map_err(|e| e.to_string());
            let thread = std::thread::Builder::new().stack_size(DECODER_STACK).spawn(decode);
            let decoded = thread.map_err(|e| e.to_string())?.join();
            let decoded = decoded.unwrap_or_else(|_| Err("the decoder gave up".into()));
            return decoded.map_err(|e| format!("its index is broken: {e}"));
        }
    }
    Err("there is no index (moov) in it".into())
}

/// Place and size of each sample in the file.
fn places(trak: &Trak, length: usize) -> Result<Vec<(usize, usize)>, String> {
    let stbl = &trak.mdia.minf.stbl;
    let broken = || "its sample tables are broken".to_owned();
    let count = match &stbl.stsz.samples {
        StszSamples::Identical { count, .. } => *count as usize,
        StszSamples::Different { sizes } => sizes.len(),
    };
    if count > length {
        return Err(broken());
    }
    let size = |index: usize| match &stbl.stsz.samples {
        StszSamples::Identical { size, .. } => *size as usize,
        StszSamples::Different { sizes } => sizes[index] as usize,
    };
    let chunks: Vec<u64> = match (&stbl.stco, &stbl.co64) {
        (Some(stco), _) => stco.entries.iter().map(|o| u64::from(*o)).collect(),
        (None, Some(co64)) => co64.entries.clone(),
        (None, None) => Vec::new(),
    };
    let mut out = Vec::with_capacity(count);
    let mut runs = stbl.stsc.entries.iter().peekable();
    let mut per_chunk = 0;
    for (index, offset) in chunks.iter().enumerate() {
        while let Some(run) = runs.next_if(|run| run.first_chunk as usize <= index + 1) {
            per_chunk = run.samples_per_chunk as usize;
        }
        let mut at = usize::try_from(*offset).map_err(|_| broken())?;
        for _ in 0..per_chunk.min(count - out.len()) {
            let size = size(out.len());
            let end = at.checked_add(size).filter(|end| *end <= length).ok_or_else(broken)?;
            out.push((at, size));
            at = end;
        }
    }
    if out.len() != count || count == 0 {
        return Err(broken());
    }
    Ok(out)
}

/// Runs of equal values, as the time tables have them, one value per sample.
fn spread<T: Copy>(runs: impl Iterator<Item = (u32, T)>, count: usize) -> Vec<T> {
    runs.flat_map(|(n, value)| std::iter::repeat_n(value, n as usize)).take(count).collect()
}

fn read_video(trak: &Trak, codec: &Codec, data: &Bytes) -> Result<Video, String> {
    let (kind, params, length_size) = parameter_sets(codec)?;
    let places = places(trak, data.len())?;
    let count = places.len();
    let stbl = &trak.mdia.minf.stbl;
    let timescale = u64::from(trak.mdia.mdhd.timescale);
    if timescale == 0 {
        return Err("its timescale is zero".into());
    }
    let scale = |time: i64| (i128::from(time) * i128::from(VIDEO_CLOCK) / i128::from(timescale)) as i64;
    let deltas = spread(stbl.stts.entries.iter().map(|e| (e.sample_count, e.sample_delta)), count);
    if deltas.len() != count {
        return Err("its time table is too short".into());
    }
    let offsets: Vec<i64> = match &stbl.ctts {
        Some(ctts) => spread(ctts.entries.iter().map(|e| (e.sample_count, e.sample_offset)), count),
        None => Vec::new(),
    };
    let sync = stbl.stss.as_ref().map(|stss| &stss.entries);
    let shown: Vec<i64> = {
        let mut dts = 0i64;
        let step = |(i, delta): (usize, &u32)| {
            let pts = dts + offsets.get(i).copied().unwrap_or(0);
            dts += i64::from(*delta);
            pts
        };
        deltas.iter().enumerate().map(step).collect()
    };
    // A camera sends a picture after it was taken: what is shown furthest ahead of its place in the
    // file sets the delay of all.
    let mut place = 0i64;
    let ahead = shown.iter().zip(&deltas).map(|(pts, delta)| {
        let ahead = pts - place;
        place += i64::from(*delta);
        ahead
    });
    let delay = ahead.max().unwrap_or(0);
    let mut samples = Vec::with_capacity(count);
    let mut dts = 0i64;
    for (index, (at, size)) in places.into_iter().enumerate() {
        let raw = data.slice(at..at + size);
        let nals = match kind {
            VideoCodec::Mjpeg => vec![raw],
            _ => split(kind, raw, length_size)?,
        };
        let marked = sync.is_none_or(|sync| sync.binary_search(&(index as u32 + 1)).is_ok());
        let sent = scale(dts);
        samples.push(Sample {
            nals,
            dts: sent.max(0) as u64,
            pts: scale(shown[index] - delay).min(sent),
            key: marked,
        });
        dts += i64::from(deltas[index]);
    }
    let duration = scale(dts).max(0) as u64;
    if duration < count as u64 {
        return Err("its pictures have no duration".into());
    }
    let size = codec.visual().map(|v| (v.width, v.height));
    let delay = scale(delay - shown.first().copied().unwrap_or(0)).max(0) as u64;
    Ok(Video { codec: kind, params, size, samples, duration, delay })
}

fn parameter_sets(codec: &Codec) -> Result<(VideoCodec, Vec<Bytes>, usize), String> {
    let (kind, sets, length_size): (_, Vec<&Vec<u8>>, _) = match codec {
        Codec::Avc1(mp4_atom::Avc1 { avcc, .. }) | Codec::Avc3(mp4_atom::Avc3 { avcc, .. }) => {
            let sets = avcc.sequence_parameter_sets.iter().chain(&avcc.picture_parameter_sets);
            (VideoCodec::H264, sets.collect(), avcc.length_size)
        }
        Codec::Hvc1(mp4_atom::Hvc1 { hvcc, .. }) | Codec::Hev1(mp4_atom::Hev1 { hvcc, .. }) => {
            let of =
                |kind| hvcc.arrays.iter().filter(move |a| a.nal_unit_type == kind).flat_map(|a| &a.nalus);
            (VideoCodec::H265, of(32).chain(of(33)).chain(of(34)).collect(), hvcc.length_size_minus_one + 1)
        }
        _ => return Ok((VideoCodec::Mjpeg, Vec::new(), 0)),
    };
    let wanted = if kind == VideoCodec::H264 { 2 } else { 3 };
    if sets.len() != wanted || sets.iter().any(|set| set.len() < 4) {
        return Err("it must have exactly one of each parameter set, in its header".into());
    }
    let params = sets.into_iter().map(|set| Bytes::copy_from_slice(set)).collect();
    Ok((kind, params, usize::from(length_size)))
}

/// Length-prefixed NAL units → NAL units, without those the camera puts in itself.
fn split(kind: VideoCodec, mut raw: Bytes, length_size: usize) -> Result<Vec<Bytes>, String> {
    let broken = || "a frame in it is broken".to_owned();
    let mut nals = Vec::new();
    while !raw.is_empty() {
        if !(1..=4).contains(&length_size) || raw.len() < length_size {
            return Err(broken());
        }
        let length = raw.get_uint(length_size) as usize;
        if length > raw.len() {
            return Err(broken());
        }
        let nal = raw.split_to(length);
        if super::annexb::is_content(kind, &nal) {
            nals.push(nal);
        }
    }
    if nals.is_empty() {
        return Err(broken());
    }
    Ok(nals)
}

fn read_audio(trak: &Trak, codec: &Codec, data: &Bytes) -> Result<Audio, String> {
    let Codec::Mp4a(entry) = codec else {
        return Err("no AAC".into());
    };
    let config = &entry.esds.es_desc.dec_config;
    let info = config.dec_specific.as_ref().filter(|info| (2..=64).contains(&info.raw.len()));
    let info = info.ok_or("its AAC track has no configuration")?;
    let rate = trak.mdia.mdhd.timescale;
    if !(7_350..=96_000).contains(&rate) {
        return Err(format!("its AAC track has the odd rate {rate}"));
    }
    // The sample entry says 2 whatever is in it; the configuration knows.
    let channels = info.chan_conf.clamp(1, 8);
    // The encoder's run-in is cut off when the edit list says so.
    let skip = trak.edts.as_ref().and_then(|e| e.elst.as_ref()).and_then(|e| e.entries.first());
    let skip = skip.and_then(|e| e.media_time).map_or(0, |time| (time / 1024).min(4) as usize);
    let frames: Vec<Bytes> = places(trak, data.len())?
        .into_iter()
        .skip(skip)
        .map(|(at, size)| data.slice(at..at + size))
        .filter(|frame| (1..8192).contains(&frame.len()))
        .collect();
    if frames.is_empty() {
        return Err("its AAC track is empty".into());
    }
    Ok(Audio { config: Bytes::copy_from_slice(&info.raw), rate, channels, frames })
}
