//! NAL units: Annex-B files, which NAL units are content, and the few bits that must be read.

use bytes::Bytes;

use crate::clip::{Sample, VIDEO_CLOCK, Video, VideoCodec};

pub(crate) const H264_SPS: u8 = 7;
pub(crate) const H264_PPS: u8 = 8;

pub(crate) fn nal_type(codec: VideoCodec, nal: &[u8]) -> u8 {
    let first = nal.first().copied().unwrap_or(0);
    match codec {
        VideoCodec::H265 => first >> 1 & 63,
        _ => first & 31,
    }
}

/// False for delimiters, parameter sets, ends and filler: the camera puts these in itself.
pub(crate) fn is_content(codec: VideoCodec, nal: &[u8]) -> bool {
    let kind = nal_type(codec, nal);
    match codec {
        VideoCodec::H265 => nal.len() > 2 && !(32..=38).contains(&kind),
        _ => nal.len() > 1 && !(7..=12).contains(&kind),
    }
}

fn is_params(codec: VideoCodec, nal: &[u8]) -> bool {
    let kind = nal_type(codec, nal);
    match codec {
        VideoCodec::H265 => (32..=34).contains(&kind),
        _ => kind == H264_SPS || kind == H264_PPS,
    }
}

fn is_slice(codec: VideoCodec, nal: &[u8]) -> bool {
    let kind = nal_type(codec, nal);
    match codec {
        VideoCodec::H265 => kind < 32,
        _ => (1..=5).contains(&kind),
    }
}

fn is_key(codec: VideoCodec, nal: &[u8]) -> bool {
    let kind = nal_type(codec, nal);
    match codec {
        VideoCodec::H265 => (16..=21).contains(&kind),
        _ => kind == 5,
    }
}

/// The first slice of a picture.
fn is_first_slice(codec: VideoCodec, nal: &[u8]) -> bool {
    // H.264: first_mb_in_slice = ue(0) is a set bit; H.265: first_slice_segment_in_pic_flag.
    let at = if codec == VideoCodec::H265 { 2 } else { 1 };
    nal.get(at).is_some_and(|byte| byte & 0x80 != 0)
}

pub(crate) fn read(codec: VideoCodec, data: Bytes, fps: f32) -> Result<Video, String> {
    if !(0.1..=240.0).contains(&fps) {
        return Err(format!("{fps} is not a frame rate (0.1 to 240)"));
    }
    let mut params: Vec<Bytes> = Vec::new();
    let mut pictures: Vec<(Vec<Bytes>, bool)> = Vec::new();
    let mut current: Vec<Bytes> = Vec::new();
    let mut has_slice = false;
    for nal in nals(&data) {
        if is_params(codec, &nal) {
            let kind = nal_type(codec, &nal);
            match params.iter().find(|set| nal_type(codec, set) == kind) {
                Some(known) if *known != nal => {
                    return Err("it changes its parameter sets on the way".into());
                }
                Some(_) => {}
                None => params.push(nal.clone()),
            }
        }
        let slice = is_slice(codec, &nal);
        // A picture ends where the next one's first slice, or what precedes it, begins.
        if has_slice && (!slice || is_first_slice(codec, &nal)) {
            let key = current.iter().any(|nal| is_key(codec, nal));
            pictures.push((std::mem::take(&mut current), key));
            has_slice = false;
        }
        has_slice |= slice;
        if is_content(codec, &nal) {
            if reorders(codec, &nal) {
                return Err("it has B-frames, whose times only an mp4 file tells".into());
            }
            current.push(nal);
        }
    }
    if has_slice {
        let key = current.iter().any(|nal| is_key(codec, nal));
        pictures.push((current, key));
    }
    params.sort_by_key(|set| nal_type(codec, set));
    let wanted = if codec == VideoCodec::H265 { 3 } else { 2 };
    if params.len() != wanted || params.iter().any(|set| set.len() < 4) {
        return Err("it does not have one of each parameter set".into());
    }
    let time = |index: usize| (index as f64 * VIDEO_CLOCK as f64 / f64::from(fps)) as u64;
    let duration = time(pictures.len());
    let samples = pictures.into_iter().enumerate().map(|(index, (nals, key))| {
        let dts = time(index);
        Sample { nals, dts, pts: dts as i64, key }
    });
    Ok(Video { codec, params, size: None, samples: samples.collect(), duration, delay: 0 })
}

/// An H.264 B slice, or an H.265 one that a later picture precedes on the screen (RASL, RADL).
fn reorders(codec: VideoCodec, nal: &[u8]) -> bool {
    match codec {
        VideoCodec::H265 => (6..=9).contains(&nal_type(codec, nal)),
        _ if matches!(nal_type(codec, nal), 1 | 5) => {
            let mut bits = Bits { data: &nal[1..], at: 0 };
            let _first_mb = bits.exp_golomb();
            matches!(bits.exp_golomb(), Some(1 | 6))
        }
        _ => false,
    }
}

struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> Option<u32> {
        let byte = self.data.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(u32::from(bit))
    }

    fn exp_golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros > 24 {
                return None;
            }
        }
        let mut value = 1u32;
        for _ in 0..zeros {
            value = value << 1 | self.bit()?;
        }
        Some(value - 1)
    }
}

/// Splits at start codes.
fn nals(data: &Bytes) -> impl Iterator<Item = Bytes> {
    let mut starts = Vec::new();
    let mut at = 0;
    while at + 3 <= data.len() {
        if data[at + 2] > 1 {
            at += 3;
        } else if data[at..at + 3] == [0, 0, 1] {
            starts.push(at);
            at += 3;
        } else {
            at += 1;
        }
    }
    let ends: Vec<usize> = starts.iter().skip(1).copied().chain([data.len()]).collect();
    starts.into_iter().zip(ends).filter_map(|(start, end)| {
        let mut end = end;
        while end > start + 3 && data[end - 1] == 0 {
            end -= 1;
        }
        (end > start + 3).then(|| data.slice(start + 3..end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_cut_at_the_first_slice_and_at_what_precedes_it() {
        let mut file = Vec::new();
        let nal = |file: &mut Vec<u8>, bytes: &[u8]| {
            file.extend_from_slice(&[0, 0, 0, 1]);
            file.extend_from_slice(bytes);
        };
        nal(&mut file, &[0x67, 66, 0, 30]);
        nal(&mut file, &[0x68, 1, 2, 3]);
        nal(&mut file, &[0x65, 0xb8, 1, 2]); // first slice: ue(0), type ue(7)…
        nal(&mut file, &[0x65, 0x4c, 1, 2]); // second slice of the same picture
        nal(&mut file, &[0x41, 0xe0, 3]);
        nal(&mut file, &[0x06, 5, 1]); // SEI belongs to the picture after it
        nal(&mut file, &[0x41, 0xe0, 4]);
        let video = read(VideoCodec::H264, file.into(), 25.0).unwrap();
        let shape: Vec<_> = video.samples.iter().map(|s| (s.nals.len(), s.key, s.dts)).collect();
        assert_eq!(shape, [(2, true, 0), (1, false, 3600), (2, false, 7200)]);
        assert_eq!(video.duration, 3 * 3600);
    }

    #[test]
    fn broken_files_are_refused_in_words() {
        for bytes in [&b""[..], b"\0\0\x01", b"hello", b"\0\0\x01\x67", b"\0\0\x01\x41\xe0\x01"] {
            assert!(read(VideoCodec::H264, Bytes::from_static(bytes), 25.0).is_err());
            assert!(read(VideoCodec::H265, Bytes::from_static(bytes), 25.0).is_err());
        }
        assert!(read(VideoCodec::H264, Bytes::new(), 0.0).is_err());
    }
}
