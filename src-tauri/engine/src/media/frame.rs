//! The access unit.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use bytes::Bytes;
use tokio::time::Instant;

use super::TrackId;

/// The RTP payloads of one access unit, in order, without headers.
pub type Packets = Arc<[Bytes]>;

/// One access unit: a picture, or one packet of sound. Immutable, shared as `Arc<Frame>`.
///
/// H.264 and H.265 are carried as NAL units with 4-byte big-endian lengths, parameter sets not among
/// them (they are in [`super::TrackInfo`]); AAC without ADTS; everything else as its codec defines a
/// packet or picture. Frames of a track come in decode order.
#[derive(Debug)]
pub struct Frame {
    /// The track it belongs to.
    pub track: TrackId,
    /// Presentation time in ticks of the track, counted from the start of the source's session, so that
    /// the tracks of one session share their zero.
    pub pts: i64,
    /// When its last byte arrived (monotonic).
    pub arrival: Instant,
    /// Wall clock at arrival.
    pub wall: SystemTime,
    /// Decodable without any earlier frame. Always true for sound.
    pub key: bool,
    /// Generation of the parameters it needs, see [`super::TrackInfo::generation`].
    pub generation: u32,
    /// Packets known to be lost since the frame before it on this track.
    pub loss: u16,
    /// The coded bytes.
    pub data: Bytes,
    /// Its RTP payloads while a WebRTC viewer has them in hand; only `sfu` looks at it.
    pub packets: PacketCache,
}

/// RTP payloads that the first viewer makes and the others share. They live as long as a viewer holds
/// them and not as long as the frame: a cached group of pictures would weigh twice otherwise.
#[derive(Debug)]
pub struct PacketCache(Mutex<Weak<[Bytes]>>);

impl PacketCache {
    /// The payloads that somebody holds, or those that `make` makes.
    pub fn get_or_make(&self, make: impl FnOnce() -> Packets) -> Packets {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.upgrade().unwrap_or_else(|| {
            let made = make();
            *kept = Arc::downgrade(&made);
            made
        })
    }
}

impl Default for PacketCache {
    fn default() -> Self {
        Self(Mutex::new(Weak::<[Bytes; 0]>::new()))
    }
}
