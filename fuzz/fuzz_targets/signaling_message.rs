//! What a peer of signaling says: read or refused, in either dialect, and bounded when it was read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nightjar_signaling::candidate::{CANDIDATE_MAX, Heard, Taken};
use nightjar_signaling::inbound::{SDP_MAX, Said, is_room, read};

fuzz_target!(|text: &str| {
    let taken = Taken { tcp: true, loopback: true };
    match read(text, taken).map(|spoken| spoken.said) {
        Ok(Said::Offer(Ok(sdp)) | Said::Answer(Ok(sdp))) => assert!(sdp.0.len() <= SDP_MAX),
        Ok(Said::Candidate(Ok(Heard::Candidate { candidate, .. }))) => {
            let line = &candidate.candidate;
            assert!(line.starts_with("candidate:") && line.len() <= CANDIDATE_MAX + "candidate:".len());
            assert!(!line.contains(['\r', '\n', '\0']));
        }
        Ok(Said::Join(join)) => assert!(join.room.is_err() || join.room.is_ok_and(|room| is_room(&room))),
        _ => {}
    }
});
