//! The session description that DESCRIBE answers with.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    Clip, ControlUrls, Fault, Options, ParameterSets,
    annexb::H264_SPS,
    clip::VideoCodec,
    sound::Source,
    stream::{AUDIO, VIDEO, video_payload_type},
};

/// Builds the description; `base` is the stream's URL without a slash at its end.
pub(crate) fn describe(
    options: &Options,
    fault: Fault,
    clip: &Clip,
    source: Option<&Source>,
    base: &str,
    session: u64,
) -> String {
    if fault == Fault::GarbageSdp {
        return "v=0\r\no=\r\nm=video \u{fffd}\r\na=rtpmap:\r\nm==\r\na=fmtp:96 sprop-parameter-sets=%%%\r\n"
            .into();
    }
    let control = |track: usize| match options.quirks.control {
        ControlUrls::Relative => format!("trackID={track}"),
        ControlUrls::Absolute => format!("{base}/trackID={track}"),
        ControlUrls::ForeignHost => {
            let path = base.splitn(4, '/').nth(3).unwrap_or("");
            format!("rtsp://192.0.2.7:554/{path}/trackID={track}")
        }
    };
    let name: String = options.name.chars().filter(|c| !c.is_control()).take(80).collect();
    let mut out = format!(
        "v=0\r\no=- {session} 1 IN IP4 0.0.0.0\r\ns={name}\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n\
         a=control:*\r\na=range:npt=now-\r\n"
    );
    if fault != Fault::AudioOnly {
        video(&mut out, options, fault, clip);
        let _ = write!(out, "a=control:{}\r\n", control(VIDEO));
    }
    if let Some(source) = source {
        audio(&mut out, source);
        let _ = write!(out, "a=control:{}\r\n", control(AUDIO));
    }
    out
}

fn video(out: &mut String, options: &Options, fault: Fault, clip: &Clip) {
    let video = clip.video();
    let kind = video_payload_type(video.codec);
    let _ = write!(out, "m=video 0 RTP/AVP {kind}\r\na=framerate:{:.2}\r\n", clip.fps());
    let shown = match fault {
        Fault::SdpParamsOnly => true,
        Fault::InBandParamsOnly => false,
        _ => options.parameter_sets != ParameterSets::InBandOnly,
    };
    let sets: Vec<String> = video.params.iter().map(|set| STANDARD.encode(set)).collect();
    match video.codec {
        VideoCodec::Mjpeg => out.push_str("a=rtpmap:26 JPEG/90000\r\n"),
        VideoCodec::H264 => {
            let _ = write!(out, "a=rtpmap:{kind} H264/90000\r\na=fmtp:{kind} packetization-mode=1");
            let sps = video.params.iter().find(|set| set[0] & 31 == H264_SPS);
            if let (true, Some(sps)) = (shown, sps) {
                let level = format!("{:02X}{:02X}{:02X}", sps[1], sps[2], sps[3]);
                let sets = sets.join(",");
                let _ = write!(out, ";profile-level-id={level};sprop-parameter-sets={sets}");
            }
            out.push_str("\r\n");
        }
        VideoCodec::H265 => {
            let _ = write!(out, "a=rtpmap:{kind} H265/90000\r\n");
            if let (true, [vps, sps, pps]) = (shown, &sets[..]) {
                let _ = write!(out, "a=fmtp:{kind} sprop-vps={vps};sprop-sps={sps};sprop-pps={pps}\r\n");
            }
        }
    }
}

fn audio(out: &mut String, source: &Source) {
    let kind = source.payload_type();
    let _ = write!(out, "m=audio 0 RTP/AVP {kind}\r\n");
    match source {
        Source::G711(_) => {
            let name = if kind == 8 { "PCMA" } else { "PCMU" };
            let _ = write!(out, "a=rtpmap:{kind} {name}/8000\r\n");
        }
        Source::Aac(clip) => {
            let Some(audio) = clip.audio() else { return };
            let config: String = audio.config.iter().map(|byte| format!("{byte:02X}")).collect();
            let _ = write!(
                out,
                "a=rtpmap:{kind} MPEG4-GENERIC/{}/{}\r\na=fmtp:{kind} streamtype=5;\
                 profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;\
                 config={config}\r\n",
                audio.rate, audio.channels
            );
        }
    }
}
