//! The ways in which the camera can misbehave, their names on the command line, and their help.
//!
//! A fault is a value; what it does is done where it belongs (stream, session, writer). Faults do
//! not add up: a camera has one at a time.

use std::{fmt, str::FromStr, time::Duration};

/// What is wrong with the camera at the moment.
///
/// `ChangeResolution`, `BFrames` and `HugeGop` show another, built-in H.264 clip; a camera whose own
/// clip has another codec goes on with its own. The parameter-set faults concern H.264 and H.265.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// No media is sent; requests are answered.
    Silent,
    /// Nothing is sent at all; connections stay open and new ones are accepted.
    Dead,
    /// Keep-alive requests (OPTIONS, GET_PARAMETER, SET_PARAMETER while playing) get no answer.
    NoKeepaliveAnswer,
    /// Answers to keep-alive requests carry a wrong CSeq.
    WrongCseq,
    /// Keep-alive requests are answered with this status.
    KeepaliveError(u16),
    /// A playing connection is closed this long after its PLAY, or after the fault was set.
    Close(Duration),
    /// The same with a TCP reset.
    Reset(Duration),
    /// Half of a frame is sent, cut inside a packet, then nothing more; the connection stays.
    /// Over TCP answers stop too, for they would land inside the packet. Ended by another fault
    /// or [`Fault::None`]: the rest of the frame is then sent.
    StopMidFrame,
    /// The stream changes to another resolution, and back, with each loop of a clip: parameter
    /// sets in band, RTP time and sequence go on.
    ChangeResolution,
    /// The stream has B-frames.
    BFrames,
    /// Parameter sets stand in the SDP only, never in band.
    SdpParamsOnly,
    /// Parameter sets come in band before each key frame, the SDP has none.
    InBandParamsOnly,
    /// A key frame comes only once in 60 s, the first one when the fault (or the camera) starts.
    HugeGop,
    /// Key frames are left out.
    NoKeyFrame,
    /// The camera offers sound alone, and running sessions get no more video.
    AudioOnly,
    /// RTP payloads are damaged at random.
    GarbageRtp,
    /// RTCP packets are none.
    GarbageRtcp,
    /// The sound's packets are none of RTP.
    GarbageSound,
    /// AAC comes without the marker that ends each access unit (RFC 3640, section 3.1).
    UnmarkedSound,
    /// Random bytes stand between the packets of the interleaved stream.
    GarbageRtsp,
    /// DESCRIBE is answered with a broken SDP.
    GarbageSdp,
    /// Every request is answered with 401, whatever credentials it carries.
    Unauthorized,
    /// DESCRIBE and SETUP are answered with 404.
    NotFound,
    /// Bytes trickle at half the stream's bit rate; what does not fit is dropped up to a key frame.
    Slow,
    /// The listener is closed: new connections are refused, running ones go on.
    Refuse,
}

/// Seconds after which `close` and `reset` strike when no number is given.
const DEFAULT_DELAY: Duration = Duration::from_secs(5);
/// The longest delay that is accepted (one day).
const MAX_DELAY: f64 = 86_400.0;

/// Name, its parameter, and one line of help.
const HELP: &[(&str, &str)] = &[
    ("none", "a healthy camera"),
    ("silent", "no media is sent, requests are answered"),
    ("dead", "nothing is sent at all, connections stay open"),
    ("no-keepalive-answer", "keep-alive requests get no answer, media goes on"),
    ("wrong-cseq", "answers to keep-alive requests carry a wrong CSeq"),
    ("keepalive-error[=STATUS]", "keep-alive requests are answered with 454 (or the given status)"),
    ("close[=SECONDS]", "the connection is closed 5 s (or the given time) after PLAY"),
    ("reset[=SECONDS]", "the same with a TCP reset"),
    ("stop-mid-frame", "half a frame is sent, then nothing more, the connection stays"),
    ("change-resolution", "another resolution with each loop, parameter sets in band"),
    ("b-frames", "the stream has B-frames"),
    ("sdp-params-only", "parameter sets stand in the SDP only"),
    ("in-band-params-only", "parameter sets come in band only"),
    ("huge-gop", "one key frame in 60 s"),
    ("no-key-frame", "key frames are left out"),
    ("audio-only", "sound alone is offered, running sessions lose their video"),
    ("garbage-rtp", "RTP payloads are damaged at random"),
    ("garbage-rtcp", "RTCP packets are none"),
    ("garbage-sound", "the sound's packets are none of RTP"),
    ("unmarked-sound", "AAC comes without its markers"),
    ("garbage-rtsp", "random bytes stand between the packets on the connection"),
    ("garbage-sdp", "the SDP is broken"),
    ("unauthorized", "every request is answered with 401"),
    ("not-found", "DESCRIBE and SETUP are answered with 404"),
    ("slow", "bytes trickle at half the bit rate"),
    ("refuse", "the listener is closed, new connections are refused"),
];

/// The text is not the name of a fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown fault mode {0:?}; see --help for the list")]
pub struct FaultError(String);

impl Fault {
    /// The table of modes as text, one per line, for `--help`.
    pub fn help() -> String {
        let mut out = String::from("Fault modes:\n");
        for (name, text) in HELP {
            out.push_str(&format!("  {name:<26}{text}\n"));
        }
        out
    }

    /// No media leaves the camera.
    pub(crate) fn mutes(self) -> bool {
        matches!(self, Self::Silent | Self::Dead)
    }
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let unknown = || FaultError(text.chars().take(60).collect());
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let delay = || match value {
            None => Ok(DEFAULT_DELAY),
            Some(value) => value
                .parse::<f64>()
                .ok()
                .filter(|s| (0.0..=MAX_DELAY).contains(s))
                .map(Duration::from_secs_f64)
                .ok_or_else(unknown),
        };
        match name {
            "close" => return Ok(Self::Close(delay()?)),
            "reset" => return Ok(Self::Reset(delay()?)),
            "keepalive-error" => {
                let status = value.map_or(Ok(454), str::parse).map_err(|_| unknown())?;
                return match status {
                    400..=599 => Ok(Self::KeepaliveError(status)),
                    _ => Err(unknown()),
                };
            }
            _ if value.is_some() => return Err(unknown()),
            _ => {}
        }
        Ok(match name {
            "none" => Self::None,
            "silent" => Self::Silent,
            "dead" => Self::Dead,
            "no-keepalive-answer" => Self::NoKeepaliveAnswer,
            "wrong-cseq" => Self::WrongCseq,
            "stop-mid-frame" => Self::StopMidFrame,
            "change-resolution" => Self::ChangeResolution,
            "b-frames" => Self::BFrames,
            "sdp-params-only" => Self::SdpParamsOnly,
            "in-band-params-only" => Self::InBandParamsOnly,
            "huge-gop" => Self::HugeGop,
            "no-key-frame" => Self::NoKeyFrame,
            "audio-only" => Self::AudioOnly,
            "garbage-rtp" => Self::GarbageRtp,
            "garbage-rtcp" => Self::GarbageRtcp,
            "garbage-sound" => Self::GarbageSound,
            "unmarked-sound" => Self::UnmarkedSound,
            "garbage-rtsp" => Self::GarbageRtsp,
            "garbage-sdp" => Self::GarbageSdp,
            "unauthorized" => Self::Unauthorized,
            "not-found" => Self::NotFound,
            "slow" => Self::Slow,
            "refuse" => Self::Refuse,
            _ => return Err(unknown()),
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::None => "none",
            Self::Silent => "silent",
            Self::Dead => "dead",
            Self::NoKeepaliveAnswer => "no-keepalive-answer",
            Self::WrongCseq => "wrong-cseq",
            Self::KeepaliveError(status) => return write!(f, "keepalive-error={status}"),
            Self::Close(after) => return write!(f, "close={}", after.as_secs_f64()),
            Self::Reset(after) => return write!(f, "reset={}", after.as_secs_f64()),
            Self::StopMidFrame => "stop-mid-frame",
            Self::ChangeResolution => "change-resolution",
            Self::BFrames => "b-frames",
            Self::SdpParamsOnly => "sdp-params-only",
            Self::InBandParamsOnly => "in-band-params-only",
            Self::HugeGop => "huge-gop",
            Self::NoKeyFrame => "no-key-frame",
            Self::AudioOnly => "audio-only",
            Self::GarbageRtp => "garbage-rtp",
            Self::GarbageRtcp => "garbage-rtcp",
            Self::GarbageSound => "garbage-sound",
            Self::UnmarkedSound => "unmarked-sound",
            Self::GarbageRtsp => "garbage-rtsp",
            Self::GarbageSdp => "garbage-sdp",
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not-found",
            Self::Slow => "slow",
            Self::Refuse => "refuse",
        };
        f.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_of_the_help_is_a_fault_and_keeps_its_name() {
        for (entry, _) in HELP {
            let name = entry.split('[').next().unwrap();
            let fault: Fault = name.parse().unwrap();
            assert!(fault.to_string().starts_with(name), "{name}");
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
        assert_eq!("close=0.5".parse(), Ok(Fault::Close(Duration::from_millis(500))));
        assert_eq!("keepalive-error=500".parse(), Ok(Fault::KeepaliveError(500)));
        for bad in ["", "nope", "close=x", "close=-1", "close=1e99", "silent=3", "keepalive-error=20"] {
            assert!(bad.parse::<Fault>().is_err(), "{bad}");
        }
    }
}
