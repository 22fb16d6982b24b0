//! Sample entries and the codec strings that go with them (RFC 6381, ISO 14496-15 Annex E).

use mp4_atom as mp4;

use super::MuxError;
use super::nal::{H264, H265};
use crate::media::{Codec, Parameters, TrackInfo};

/// A track's sample entry and its name in a `codecs` parameter.
pub(super) fn describe(track: &TrackInfo) -> Result<(mp4::Codec, String), MuxError> {
    let malformed = || MuxError::Parameters(track.codec);
    match (track.codec, &track.parameters) {
        (Codec::H264, Parameters::H264 { sps, pps, width, height, .. }) => {
            avc(sps, pps, visual(*width, *height)).ok_or_else(malformed)
        }
        (Codec::H265, Parameters::H265 { vps, sps, pps, width, height, .. }) => {
            hevc(vps, sps, pps, visual(*width, *height)).ok_or_else(malformed)
        }
        (Codec::Vp8 | Codec::Vp9, Parameters::Video { width, height }) => {
            Ok(vp(track.codec, visual(*width, *height)))
        }
        (Codec::Av1, Parameters::Video { width, height }) => Ok(av1(visual(*width, *height))),
        (Codec::Aac, Parameters::Aac { config, sample_rate, channels }) => {
            aac(config, audio(*sample_rate, *channels)).ok_or_else(malformed)
        }
        (Codec::Opus, Parameters::Audio { sample_rate, channels }) => {
            Ok(opus(audio(48_000, *channels), *sample_rate))
        }
        (Codec::H264 | Codec::H265 | Codec::Vp8 | Codec::Vp9 | Codec::Av1 | Codec::Aac | Codec::Opus, _) => {
            Err(malformed())
        }
        (codec, _) => Err(MuxError::Codec(codec)),
    }
}

fn visual(width: u16, height: u16) -> mp4::Visual {
    mp4::Visual { data_reference_index: 1, width, height, ..Default::default() }
}

fn audio(sample_rate: u32, channels: u8) -> mp4::Audio {
    // The field has 16 bits; players take the rate from the codec's own configuration.
    let rate = u16::try_from(sample_rate).unwrap_or(0);
    mp4::Audio {
        data_reference_index: 1,
        channel_count: u16::from(channels.max(1)),
        sample_size: 16,
        sample_rate: rate.into(),
    }
}

fn avc(sps: &[u8], pps: &[u8], visual: mp4::Visual) -> Option<(mp4::Codec, String)> {
    let H264 { profile, compatibility, level, format } = H264::parse(sps)?;
    let mut avcc = mp4::Avcc::new(sps, pps).ok()?;
    u16::try_from(sps.len()).ok()?;
    u16::try_from(pps.len()).ok()?;
    // These profiles alone have the extension (ISO 14496-15 5.3.3.1.2).
    avcc.ext = format.filter(|_| matches!(profile, 100 | 110 | 122 | 144 | 244)).map(|f| mp4::AvccExt {
        chroma_format: f.chroma,
        bit_depth_luma: f.luma_depth,
        bit_depth_chroma: f.chroma_depth,
        sequence_parameter_sets_ext: Vec::new(),
    });
    let name = format!("avc1.{profile:02x}{compatibility:02x}{level:02x}");
    Some((mp4::Avc1 { visual, avcc, ..Default::default() }.into(), name))
}

fn hevc(vps: &[u8], sps: &[u8], pps: &[u8], visual: mp4::Visual) -> Option<(mp4::Codec, String)> {
    let set = H265::parse(sps)?;
    let array = |nal_unit_type, nal: &[u8]| {
        u16::try_from(nal.len()).ok()?;
        Some(mp4::HvcCArray { completeness: true, nal_unit_type, nalus: vec![nal.to_vec()] })
    };
    let mut hvcc = mp4::Hvcc::new();
    hvcc.general_profile_space = set.space;
    hvcc.general_tier_flag = set.high_tier;
    hvcc.general_profile_idc = set.profile;
    hvcc.general_profile_compatibility_flags = set.compatibility;
    hvcc.general_constraint_indicator_flags = set.constraints;
    hvcc.general_level_idc = set.level;
    hvcc.chroma_format_idc = set.format.chroma;
    hvcc.bit_depth_luma_minus8 = set.format.luma_depth - 8;
    hvcc.bit_depth_chroma_minus8 = set.format.chroma_depth - 8;
    hvcc.num_temporal_layers = set.layers;
    hvcc.temporal_id_nested = set.nested;
    hvcc.length_size_minus_one = 3;
    hvcc.arrays = vec![array(32, vps)?, array(33, sps)?, array(34, pps)?];
    Some((mp4::Hvc1 { visual, hvcc, ..Default::default() }.into(), hevc_name(&set)))
}

/// `hvc1.<profile>.<compatibility, bits reversed>.<tier and level>.<constraints>`, the constraint bytes
/// without the zeros at their end (ISO 14496-15 E.3).
fn hevc_name(set: &H265) -> String {
    use std::fmt::Write as _;
    let space = match set.space {
        0 => "",
        1 => "A",
        2 => "B",
        _ => "C",
    };
    let compatibility = u32::from_be_bytes(set.compatibility).reverse_bits();
    let tier = if set.high_tier { 'H' } else { 'L' };
    let mut name = format!("hvc1.{space}{}.{compatibility:X}.{tier}{}", set.profile, set.level);
    let used = set.constraints.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    for byte in &set.constraints[..used] {
        let _ = write!(name, ".{byte:X}");
    }
    name
}

/// Phones send profile 0 (8 bits, 4:2:0); their payload has no parameters to take it from.
fn vp(codec: Codec, visual: mp4::Visual) -> (mp4::Codec, String) {
    let level = level(&visual, VP9_LEVELS);
    let vpcc = mp4::VpcC { level, chroma_subsampling: 1, ..Default::default() };
    if codec == Codec::Vp8 {
        let name = format!("vp08.00.{level:02}.08");
        (mp4::Vp08 { visual, vpcc, ..Default::default() }.into(), name)
    } else {
        let name = format!("vp09.00.{level:02}.08");
        (mp4::Vp09 { visual, vpcc, ..Default::default() }.into(), name)
    }
}

/// Main profile, 8 bits; the sequence header stands in each key frame.
fn av1(visual: mp4::Visual) -> (mp4::Codec, String) {
    let level = level(&visual, AV1_LEVELS);
    let av1c = mp4::Av1c {
        seq_level_idx_0: level,
        chroma_subsampling_x: true,
        chroma_subsampling_y: true,
        ..Default::default()
    };
    (mp4::Av01 { visual, av1c, ..Default::default() }.into(), format!("av01.0.{level:02}M.08"))
}

/// Pixels of a picture and the first level that allows them.
const VP9_LEVELS: &[(u32, u8)] = &[
    (36_864, 10),
    (73_728, 11),
    (122_880, 20),
    (245_760, 21),
    (552_960, 30),
    (983_040, 31),
    (2_228_224, 40),
    (8_912_896, 50),
    (u32::MAX, 60),
];
const AV1_LEVELS: &[(u32, u8)] = &[
    (147_456, 0),
    (278_784, 1),
    (665_856, 4),
    (1_065_024, 5),
    (2_359_296, 8),
    (8_912_896, 12),
    (u32::MAX, 16),
];

fn level(visual: &mp4::Visual, levels: &[(u32, u8)]) -> u8 {
    let pixels = u32::from(visual.width) * u32::from(visual.height);
    levels.iter().find(|(most, _)| pixels <= *most).map_or(0, |(_, level)| *level)
}

fn aac(config: &[u8], audio: mp4::Audio) -> Option<(mp4::Codec, String)> {
    let first = *config.first()?;
    let second = *config.get(1)?;
    let mut object = first >> 3;
    if object == 31 {
        object = 32 + ((first & 0x07) << 3 | second >> 5);
    }
    // Longer ones do not exist; the descriptor's lengths are safe below this.
    (object > 0 && config.len() <= 64).then_some(())?;
    let esds = mp4::Esds {
        es_desc: mp4::esds::EsDescriptor {
            dec_config: mp4::esds::DecoderConfig {
                object_type_indication: 0x40,
                stream_type: 5,
                dec_specific: Some(mp4::esds::DecoderSpecific { raw: config.to_vec(), ..Default::default() }),
                ..Default::default()
            },
            ..Default::default()
        },
    };
    Some((mp4::Mp4a { audio, esds, btrt: None, taic: None }.into(), format!("mp4a.40.{object}")))
}

/// `input` is the rate before the encoder, which players need not know.
fn opus(audio: mp4::Audio, input: u32) -> (mp4::Codec, String) {
    let dops = mp4::Dops {
        // Mapping family 0 knows mono and stereo only.
        output_channel_count: u8::try_from(audio.channel_count.min(2)).unwrap_or(2),
        // The stream is joined in its middle, or its packets are stamped for what they decode to: there is
        // nothing of an encoder's start to skip.
        pre_skip: 0,
        input_sample_rate: input,
        output_gain: 0,
        channel_mapping: None,
    };
    (mp4::Opus { audio, dops, btrt: None }.into(), "opus".to_owned())
}
