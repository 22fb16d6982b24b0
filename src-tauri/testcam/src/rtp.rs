//! Frames → RTP packets: RFC 6184 (H.264), RFC 7798 (H.265), RFC 2435 (Motion JPEG), RFC 3640
//! (AAC-hbr), RFC 3551 (G.711), and RTCP sender reports.
//!
//! The packets of a frame lie one after the other in one buffer, each with the four bytes of RTSP
//! interleaving before it, so that a frame goes out to a TCP client in one write and to all clients
//! from the same memory.

use std::time::{Duration, SystemTime};

use bytes::{BufMut, Bytes, BytesMut};

use crate::clip::VideoCodec;

/// Largest RTP payload in bytes.
pub(crate) const MAX_PAYLOAD: usize = 1400;
/// Interleaved prefix: `$`, channel, length.
pub(crate) const PREFIX: usize = 4;
pub(crate) const RTP_HEADER: usize = 12;
/// 1900 to 1970.
const NTP_OFFSET: u64 = 2_208_988_800;

/// A frame (or an RTCP packet) as it goes out.
pub(crate) struct Unit {
    /// 0 video, 1 audio.
    pub(crate) track: usize,
    pub(crate) rtcp: bool,
    /// A client may begin here.
    pub(crate) key: bool,
    /// Packets with their interleaving prefix; the channel is `2 * track`, RTCP one more.
    pub(crate) wire: Bytes,
    /// Where each packet's prefix stands.
    pub(crate) starts: Vec<u32>,
}

impl Unit {
    /// The packets without their prefix.
    pub(crate) fn packets(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self.starts.iter().skip(1).map(|s| *s as usize).chain([self.wire.len()]);
        self.starts.iter().zip(ends).map(|(start, end)| &self.wire[*start as usize + PREFIX..end])
    }

    /// The channel that the prefixes name.
    pub(crate) fn channel(&self) -> u8 {
        2 * self.track as u8 + u8::from(self.rtcp)
    }
}

/// Makes the packets of one track.
pub(crate) struct Packetiser {
    track: usize,
    payload_type: u8,
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    packets: u32,
    octets: u32,
    buffer: BytesMut,
    starts: Vec<u32>,
}

impl Packetiser {
    pub(crate) fn new(track: usize, payload_type: u8) -> Self {
        Self {
            track,
            payload_type,
            ssrc: crate::chance::random(),
            sequence: crate::chance::random(),
            packets: 0,
            octets: 0,
            buffer: BytesMut::new(),
            starts: Vec::new(),
        }
    }

    fn packet(&mut self, marker: bool, timestamp: u32, parts: &[&[u8]]) {
        let payload: usize = parts.iter().map(|part| part.len()).sum();
        self.starts.push(self.buffer.len() as u32);
        let out = &mut self.buffer;
        out.put_slice(&[b'$', 2 * self.track as u8]);
        out.put_u16((RTP_HEADER + payload) as u16);
        out.put_slice(&[0x80, u8::from(marker) << 7 | self.payload_type]);
        out.put_u16(self.sequence);
        out.put_u32(timestamp);
        out.put_u32(self.ssrc);
        for part in parts {
            out.put_slice(part);
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload as u32);
    }

    fn finish(&mut self, key: bool) -> Unit {
        Unit {
            track: self.track,
            rtcp: false,
            key,
            wire: self.buffer.split().freeze(),
            starts: std::mem::take(&mut self.starts),
        }
    }

    /// An access unit of H.264 or H.265: NAL units in sending order.
    pub(crate) fn nals<'a>(
        &mut self,
        codec: VideoCodec,
        nals: impl Iterator<Item = &'a [u8]>,
        timestamp: u32,
        key: bool,
    ) -> Unit {
        let mut nals = nals.peekable();
        while let Some(nal) = nals.next() {
            let last = nals.peek().is_none();
            if nal.len() <= MAX_PAYLOAD {
                self.packet(last, timestamp, &[nal]);
                continue;
            }
            // FU-A has the NAL type in the third byte's low bits, FU of H.265 likewise.
            let (indicator, kind, header): (&[u8], u8, usize) = match codec {
                VideoCodec::H265 => (&[nal[0] & 0x81 | 49 << 1, nal[1]], nal[0] >> 1 & 63, 2),
                _ => (&[nal[0] & 0xe0 | 28], nal[0] & 31, 1),
            };
            let body = &nal[header..];
            let mut chunks = body.chunks(MAX_PAYLOAD - header - 1).peekable();
            let mut start = 0x80;
            while let Some(chunk) = chunks.next() {
                let end = chunks.peek().is_none();
                let fu = start | u8::from(end) << 6 | kind;
                self.packet(end && last, timestamp, &[indicator, &[fu], chunk]);
                start = 0;
            }
        }
        self.finish(key)
    }

    /// An AAC frame: one access unit with its header, in fragments when it is large.
    pub(crate) fn aac(&mut self, frame: &[u8], timestamp: u32) -> Unit {
        let size = (frame.len() as u16) << 3;
        let header = [0, 16, (size >> 8) as u8, size as u8];
        let mut chunks = frame.chunks(MAX_PAYLOAD - header.len()).peekable();
        while let Some(chunk) = chunks.next() {
            self.packet(chunks.peek().is_none(), timestamp, &[&header, chunk]);
        }
        self.finish(true)
    }

    /// 20 ms of G.711.
    pub(crate) fn g711(&mut self, samples: &[u8], timestamp: u32) -> Unit {
        self.packet(false, timestamp, &[samples]);
        self.finish(true)
    }

    /// A sender report for this instant with a source description.
    pub(crate) fn report(&self, now: SystemTime, timestamp: u32) -> Unit {
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
        let name = b"nightjar-testcam";
        let mut rtcp = BytesMut::new();
        rtcp.put_slice(&[0x80, 200, 0, 6]);
        rtcp.put_u32(self.ssrc);
        rtcp.put_u32((since.as_secs() + NTP_OFFSET) as u32);
        rtcp.put_u32(fraction as u32);
        rtcp.put_u32(timestamp);
        rtcp.put_u32(self.packets);
        rtcp.put_u32(self.octets);
        // SSRC, CNAME item, its end, padded to words.
        let words = (4 + 2 + name.len() + 1).div_ceil(4);
        rtcp.put_slice(&[0x81, 202, 0, words as u8]);
        rtcp.put_u32(self.ssrc);
        rtcp.put_slice(&[1, name.len() as u8]);
        rtcp.put_slice(name);
        rtcp.put_bytes(0, words * 4 - 4 - 2 - name.len());
        let mut wire = BytesMut::with_capacity(PREFIX + rtcp.len());
        wire.put_slice(&[b'$', 2 * self.track as u8 + 1]);
        wire.put_u16(rtcp.len() as u16);
        wire.put_slice(&rtcp);
        Unit { track: self.track, rtcp: true, key: false, wire: wire.freeze(), starts: vec![0] }
    }

    /// A JPEG picture; `None` when it is not one that RFC 2435 can carry.
    pub(crate) fn jpeg(&mut self, picture: &[u8], timestamp: u32) -> Option<Unit> {
        let jpeg = Jpeg::parse(picture)?;
        let mut offset = 0;
        let mut chunks = Vec::new();
        while offset < jpeg.scan.len() {
            let tables = if offset == 0 { 4 + jpeg.tables.len() } else { 0 };
            let take = (MAX_PAYLOAD - 8 - tables).min(jpeg.scan.len() - offset);
            chunks.push((offset, take));
            offset += take;
        }
        let count = chunks.len();
        for (index, (offset, take)) in chunks.into_iter().enumerate() {
            let place = (offset as u32).to_be_bytes();
            // Q = 255: the tables come with each picture.
            let header = [0, place[1], place[2], place[3], jpeg.kind, 255, jpeg.width, jpeg.height];
            let tables = (jpeg.tables.len() as u16).to_be_bytes();
            let tables = [0, 0, tables[0], tables[1]];
            let body = &jpeg.scan[offset..offset + take];
            if offset == 0 {
                self.packet(index + 1 == count, timestamp, &[&header, &tables, &jpeg.tables, body]);
            } else {
                self.packet(index + 1 == count, timestamp, &[&header, body]);
            }
        }
        Some(self.finish(true))
    }
}

/// What RFC 2435 needs of a JPEG file.
struct Jpeg<'a> {
    /// 0: 4:2:2, 1: 4:2:0.
    kind: u8,
    width: u8,
    height: u8,
    /// Quantisation tables: luma, chroma.
    tables: Vec<u8>,
    scan: &'a [u8],
}

impl<'a> Jpeg<'a> {
    fn parse(data: &'a [u8]) -> Option<Self> {
        let mut rest = data.strip_prefix(&[0xff, 0xd8])?;
        let mut tables: [Option<&[u8]>; 4] = [None; 4];
        let mut frame = None;
        loop {
            let marker = *rest.get(1).filter(|_| rest[0] == 0xff)?;
            let length = usize::from(u16::from_be_bytes([*rest.get(2)?, *rest.get(3)?]));
            let body = rest.get(4..2 + length)?;
            rest = &rest[2 + length..];
            match marker {
                0xdb => {
                    let mut body = body;
                    while let Some((id, after)) = body.split_first() {
                        // Sixteen-bit tables have no place in the tables header used here.
                        tables[usize::from(*id).min(3)] = Some(after.get(..64)?);
                        body = &after[64..];
                    }
                }
                0xc0 => {
                    let height = u16::from_be_bytes([*body.get(1)?, *body.get(2)?]);
                    let width = u16::from_be_bytes([*body.get(3)?, *body.get(4)?]);
                    let kind = match body.get(7)? {
                        0x21 => 0,
                        0x22 => 1,
                        _ => return None,
                    };
                    let luma = usize::from(*body.get(8)?);
                    let chroma = usize::from(*body.get(11)?);
                    frame = Some((kind, width.div_ceil(8), height.div_ceil(8), luma, chroma));
                }
                0xda => break,
                _ => {}
            }
        }
        let (kind, width, height, luma, chroma) = frame?;
        let table = |index: usize| tables.get(index).copied().flatten();
        let tables = [table(luma)?, table(chroma)?].concat();
        let scan = rest.strip_suffix(&[0xff, 0xd9]).unwrap_or(rest);
        (scan.len() < 1 << 24).then_some(())?;
        Some(Self {
            kind,
            width: u8::try_from(width).ok()?,
            height: u8::try_from(height).ok()?,
            tables,
            scan,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_nal_comes_back_whole_from_its_fragments() {
        let nal: Vec<u8> = std::iter::once(0x65).chain((0..5000u32).map(|i| i as u8)).collect();
        let mut packetiser = Packetiser::new(0, 96);
        let first = packetiser.sequence;
        let unit = packetiser.nals(VideoCodec::H264, [&[0x06u8, 1][..], &nal].into_iter(), 7, true);
        let packets: Vec<&[u8]> = unit.packets().collect();
        assert_eq!(packets.len(), 5);
        let mut whole = vec![0x65];
        for (i, packet) in packets.iter().enumerate() {
            assert_eq!(u16::from_be_bytes([packet[2], packet[3]]), first.wrapping_add(i as u16));
            assert_eq!(packet[1] >> 7 == 1, i == 4, "the marker ends the frame");
            assert!(packet.len() - RTP_HEADER <= MAX_PAYLOAD);
            if i > 0 {
                assert_eq!(packet[12], 0x7c);
                assert_eq!(packet[13] & 31, 5);
                assert_eq!((packet[13] >> 7 == 1, packet[13] >> 6 & 1 == 1), (i == 1, i == 4));
                whole.extend_from_slice(&packet[14..]);
            }
        }
        assert_eq!(whole, nal);
    }

    #[test]
    fn reports_are_whole_words_and_name_their_length() {
        let unit = Packetiser::new(1, 97).report(SystemTime::UNIX_EPOCH, 5);
        let packet = unit.packets().next().unwrap();
        assert_eq!(unit.channel(), 3);
        let sdes = &packet[28..];
        assert_eq!(sdes.len(), 4 * (usize::from(sdes[3]) + 1));
    }

    #[test]
    fn pictures_that_are_no_jpeg_are_refused() {
        for bytes in
            [&b""[..], &[0xff, 0xd8], &[0xff, 0xd8, 0xff, 0xdb, 0, 1], &[0xff, 0xd8, 0xff, 0xda, 0, 2]]
        {
            assert!(Packetiser::new(0, 26).jpeg(bytes, 0).is_none());
        }
    }
}
