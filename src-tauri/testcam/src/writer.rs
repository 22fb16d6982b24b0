//! The sending half of a connection: answers and frames on their way to one client.
//!
//! Invariant: over TCP a frame is written whole before an answer follows, so that interleaving is
//! never broken, but for the faults that break it on purpose.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    net::UdpSocket,
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until},
};

use crate::{Fault, chance, rtp::Unit, stats::Ledger, stream::VIDEO};

/// Packets that go out in one burst by UDP; then the line rests for a moment, as a camera's
/// 100 Mbit/s port makes it.
const UDP_BURST: usize = 32;
const UDP_REST: Duration = Duration::from_millis(3);
/// What the slow fault writes at once, in bytes.
const TRICKLE: usize = 1400;
/// A late wake-up is made up for by at most this much.
const TRICKLE_CREDIT: Duration = Duration::from_millis(100);
/// Frames smaller than this are not cut by [`Fault::StopMidFrame`].
const CUT_FROM: usize = 64;
/// Most random bytes put between two packets.
const GARBAGE: usize = 300;

/// How a track gets to the client.
#[derive(Clone)]
pub(crate) enum Route {
    Tcp { rtp: u8, rtcp: u8 },
    Udp { rtp: Arc<UdpSocket>, rtcp: Arc<UdpSocket>, rtp_to: SocketAddr, rtcp_to: SocketAddr },
}

/// What the reading half hands over.
pub(crate) enum Out {
    Answer(Vec<u8>),
    /// The connection ends behind this answer.
    Last(Vec<u8>),
    /// The answer to PLAY; media follows it.
    Play(Vec<u8>, mpsc::Receiver<Arc<Unit>>, [Option<Route>; 2]),
    /// The answer to PAUSE or TEARDOWN; no media follows it.
    Pause(Vec<u8>),
}

pub(crate) struct Writer<'a, W> {
    pub(crate) socket: W,
    pub(crate) fault: watch::Receiver<Fault>,
    pub(crate) ledger: &'a Ledger,
    /// Half the stream's bit rate, in bytes per second.
    pub(crate) trickle: u32,
    /// When the slow line is free again.
    pub(crate) free_at: Option<Instant>,
}

impl<W: AsyncWrite + Unpin> Writer<'_, W> {
    /// Writes until the connection ends or the reading half is gone.
    pub(crate) async fn run(mut self, mut outs: mpsc::Receiver<Out>) -> io::Result<()> {
        let mut media: Option<mpsc::Receiver<Arc<Unit>>> = None;
        let mut routes: [Option<Route>; 2] = [None, None];
        // A frame was cut: what is left of it, empty by UDP.
        let mut cut: Option<Bytes> = None;
        loop {
            let fault = *self.fault.borrow_and_update();
            if fault != Fault::StopMidFrame
                && let Some(rest) = cut.take()
            {
                self.socket.write_all(&rest).await?;
            }
            let frozen = fault == Fault::Dead || cut.as_ref().is_some_and(|rest| !rest.is_empty());
            let flows = !frozen && cut.is_none();
            let unit = async {
                match &mut media {
                    Some(media) if flows => media.recv().await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                changed = self.fault.changed() => if changed.is_err() { return Ok(()) },
                out = outs.recv(), if !frozen => match out {
                    None => return Ok(()),
                    Some(Out::Answer(bytes)) => self.answer(&bytes).await?,
                    Some(Out::Last(bytes)) => return self.answer(&bytes).await,
                    Some(Out::Play(bytes, queue, to)) => {
                        self.answer(&bytes).await?;
                        (media, routes) = (Some(queue), to);
                    }
                    Some(Out::Pause(bytes)) => {
                        media = None;
                        self.answer(&bytes).await?;
                    }
                },
                unit = unit => match unit {
                    // The stream let go of this client: its camera was switched off.
                    None => media = None,
                    Some(unit) => {
                        let Some(route) = &routes[unit.track] else { continue };
                        cut = self.media(&unit, route, fault).await?;
                    }
                },
            }
        }
    }

    async fn answer(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes).await?;
        self.socket.flush().await
    }

    /// Sends one unit. Returns what was held back when the frame was cut.
    async fn media(&mut self, unit: &Unit, route: &Route, fault: Fault) -> io::Result<Option<Bytes>> {
        let cuts =
            fault == Fault::StopMidFrame && unit.track == VIDEO && !unit.rtcp && unit.wire.len() >= CUT_FROM;
        self.ledger.note_quietly(|stats| stats.sent_bytes += unit.wire.len() as u64);
        match route {
            Route::Tcp { rtp, rtcp } => {
                let channel = if unit.rtcp { *rtcp } else { *rtp };
                let mut wire = if channel == unit.channel() {
                    unit.wire.clone()
                } else {
                    let mut copy = unit.wire.to_vec();
                    for start in &unit.starts {
                        copy[*start as usize + 1] = channel;
                    }
                    copy.into()
                };
                if cuts {
                    let rest = wire.split_off(wire.len() / 2);
                    self.answer(&wire).await?;
                    return Ok(Some(rest));
                }
                if fault == Fault::GarbageRtsp && chance::once_in(4) {
                    self.socket.write_all(&chance::noise(GARBAGE)).await?;
                }
                if fault == Fault::Slow {
                    self.trickle(&wire).await?;
                } else {
                    self.socket.write_all(&wire).await?;
                }
                self.socket.flush().await?;
            }
            Route::Udp { rtp, rtcp, rtp_to, rtcp_to } => {
                let (socket, to) = if unit.rtcp { (rtcp, rtcp_to) } else { (rtp, rtp_to) };
                let count = unit.starts.len();
                for (index, packet) in unit.packets().enumerate() {
                    if cuts && index == count / 2 {
                        return Ok(Some(Bytes::new()));
                    }
                    if fault == Fault::Slow {
                        self.rest(packet.len()).await;
                    } else if index % UDP_BURST == UDP_BURST - 1 {
                        sleep(UDP_REST).await;
                    }
                    // A client that closed its port answers with ICMP; the next packet may pass.
                    let _ = socket.send_to(packet, to).await;
                }
            }
        }
        Ok(None)
    }

    async fn trickle(&mut self, wire: &[u8]) -> io::Result<()> {
        for chunk in wire.chunks(TRICKLE) {
            self.socket.write_all(chunk).await?;
            self.socket.flush().await?;
            if *self.fault.borrow() == Fault::Slow {
                self.rest(chunk.len()).await;
            }
        }
        Ok(())
    }

    /// Waits until the slow line has room again.
    async fn rest(&mut self, bytes: usize) {
        let cost = Duration::from_secs_f64(bytes as f64 / f64::from(self.trickle.max(1000)));
        let now = Instant::now();
        let from = self.free_at.unwrap_or(now).max(now - TRICKLE_CREDIT);
        self.free_at = Some(from + cost);
        sleep_until(from + cost).await;
    }
}
