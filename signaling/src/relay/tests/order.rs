//! In which order the desk is asked.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::{mpsc, oneshot};

use super::super::{Clerk, Nature, Parts, Relay, lock};
use super::{Call, Mode, Output, Terms};

struct Still;

impl Nature for Still {
    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }

    fn chance(&self, _: &mut [u8]) {}
}

#[tokio::test]
async fn what_is_decided_first_is_asked_first() {
    let terms = Terms {
        mode: Mode::Desk,
        relay_id: "relay".into(),
        signer: None,
        ice_servers: Arc::new(|_, _| Vec::new()),
        tcp: false,
    };
    let nature = Arc::new(Still);
    let relay = Relay::start(Parts { terms, devices: Vec::new(), desk: None, keep: None, nature });
    let (calls, mut asked) = mpsc::channel(4);
    lock(&relay.0.clerks).insert((1, 1), Clerk { calls, end: oneshot::channel().0 });
    let end = |generation| Call::Candidate { generation, candidate: None };
    relay.0.with(|rooms, at| {
        for generation in [1, 2] {
            let output = Output::Desk { socket: 1, seat: 1, call: end(generation) };
            let later = relay.0.deliver(rooms, vec![output], at);
            assert!(later.is_empty(), "nobody who decides next comes before it");
        }
    });
    assert_eq!([asked.try_recv(), asked.try_recv()], [Ok(end(1)), Ok(end(2))]);
    relay.shutdown().await;
}
