//! A crowd that says anything: lines of `<socket><text>`, with messages of every type as they stand or broken.
//! Rooms and members agree at every moment.
#![no_main]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use nightjar_signaling::message::Sdp;
use nightjar_signaling::relay::keys::Devices;
use nightjar_signaling::relay::{Answered, Call, Mode, Moment, Origin, Output, Rooms, Terms};
use tokio::time::Instant;

fuzz_target!(|text: &str| {
    let mode = if text.starts_with('f') { Mode::Forward } else { Mode::Desk };
    let terms = Terms {
        mode,
        relay_id: "relay".to_owned(),
        signer: None,
        ice_servers: Arc::new(|_, _| Vec::new()),
        tcp: true,
    };
    let mut rooms = Rooms::new(terms, Devices::default());
    let mut now = Instant::now();
    for line in text.lines().take(500) {
        let Some(first) = line.bytes().next() else { continue };
        let rest = line.get(1..).unwrap_or_default();
        let socket = u64::from(first % 5);
        now += Duration::from_millis(20);
        let chance = |bytes: &mut [u8]| bytes.fill(first);
        let at = Moment { now, wall: SystemTime::UNIX_EPOCH, chance: &chance };
        let origin =
            Origin { ip: [127, 0, 0, 1].into(), host: "localhost".to_owned(), legacy: first % 2 == 0 };
        // A socket that is open is not opened again: its number is its own.
        let mut outputs = match rest {
            "" => rooms.closed(socket, &at),
            _ => rooms.text(socket, rest, &at),
        };
        if outputs.is_empty() {
            outputs = rooms.closed(socket, &at);
            rooms.opened(socket, origin, format!("p{socket}"), &at);
        }
        outputs.extend(rooms.tick(&at));
        while let Some(output) = outputs.pop() {
            match output {
                Output::Desk { socket, seat, call: Call::Join(_) } => {
                    rooms.admitted(socket, seat, Ok(()), &at, &mut outputs);
                }
                Output::Desk { socket, seat, call: Call::Offer { generation, neg, .. } } => {
                    let answer = Answered { sdp: Sdp("v=0".to_owned()), publishes: first % 3 == 0 };
                    outputs.extend(rooms.answered(socket, seat, (generation, neg), Ok(answer), &at));
                }
                Output::Send { text, .. } => assert!(text.starts_with('{') && text.ends_with('}')),
                _ => {}
            }
        }
        assert!(rooms.members().all(|(_, members)| (1..=5).contains(&members)));
        assert!(rooms.len() <= 5);
    }
});
