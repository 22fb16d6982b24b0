//! How a phone says who it is: greeting, pairing, proof; and how it is shown out.

use super::super::keys::{Asked, Claim, Denied, random, sha256};
use super::super::limits::{self, network};
use super::super::words;
use super::{Call, Moment, Output, Peer, Rooms, SocketId};
use crate::message::{
    Auth, AuthOk, ErrorCode, Hello, PairOk, PairPending, PairRequest, Rejected, ToPhone, Welcome,
};
use crate::proof;

impl Rooms {
    pub(super) fn hello(
        &mut self,
        socket: SocketId,
        re: Option<String>,
        hello: &Hello,
        at: &Moment<'_>,
        out: &mut Vec<Output>,
    ) {
        let nonce = random::<16>(at.chance);
        let Some(peer) = self.peers.get_mut(&socket) else { return };
        peer.nonce = Some(nonce.clone());
        let nonce_c = hello.nonce_c.clone().filter(|nonce| proof::is_nonce(nonce));
        let relay_id = self.terms.relay_id.clone();
        // Nothing is signed but this text, which holds a nonce of ours (A26).
        let sig = nonce_c
            .zip(self.terms.signer.as_ref())
            .and_then(|(nonce_c, signer)| signer.sign(&proof::hello(&relay_id, &nonce, &nonce_c)));
        let welcome = Welcome {
            protos: vec![crate::message::PROTOCOL.to_owned()],
            relay_id,
            nonce,
            sig,
            limits: words::limited(),
            heartbeat_s: limits::HEARTBEAT.as_secs() as u32,
            relay_key: self.terms.signer.as_ref().map(|signer| signer.relay_key()),
        };
        self.say(socket, ToPhone::Hello(welcome), re, out);
    }

    pub(super) fn pair(
        &mut self,
        socket: SocketId,
        re: Option<String>,
        asked: PairRequest,
        at: &Moment<'_>,
        out: &mut Vec<Output>,
    ) {
        let Some(peer) = self.peers.get_mut(&socket) else { return };
        let from = network(peer.origin.ip);
        let in_all = self.bad_pairings_in_all.count(at.now) >= limits::BAD_PAIRINGS_IN_ALL;
        if in_all || self.bad_pairings.count(&from, at.now) >= limits::BAD_PAIRINGS {
            self.counts.limited += 1;
            return self.dismiss(socket, ErrorCode::RateLimited, "Too many attempts", at, out);
        }
        let nonce = peer.nonce.take().filter(|_| proof::is_nonce(&asked.nonce_c));
        let claim = match nonce {
            None => Claim::Rejected,
            Some(nonce) => {
                let text = proof::pair(&self.terms.relay_id, &asked.spki, &nonce, &asked.nonce_c);
                let code = proof::digits(&sha256(text.as_bytes()));
                let asking = Asked { socket, spki: asked.spki, name: asked.name, code };
                self.pairings.claim(&asked.token.0, asking, at.now)
            }
        };
        match claim {
            Claim::Pending { code } => {
                peer.pairing = true;
                self.say(socket, ToPhone::PairPending(PairPending { code }), re, out);
            }
            Claim::Paired { device } => self.paired(socket, &device, re, at, out),
            Claim::Rejected => {
                self.bad_pairings.note(from, at.now, limits::BAD_PAIRINGS);
                self.bad_pairings_in_all.note(at.now, limits::BAD_PAIRINGS_IN_ALL);
                let body = ToPhone::PairRejected(Rejected { code: Some(ErrorCode::PairRejected) });
                self.say(socket, body, re, out);
            }
        }
    }

    fn paired(
        &mut self,
        socket: SocketId,
        device: &str,
        re: Option<String>,
        at: &Moment<'_>,
        out: &mut Vec<Output>,
    ) {
        let Some(room) = self.devices.get(device).map(|device| device.room.clone()) else { return };
        let nonce = random::<16>(at.chance);
        let Some(peer) = self.peers.get_mut(&socket) else { return };
        peer.pairing = false;
        peer.opened = at.now;
        peer.nonce = Some(nonce.clone());
        let body = PairOk {
            device_id: device.to_owned(),
            rooms: vec![room],
            grants: vec!["publish".to_owned()],
            relay_id: self.terms.relay_id.clone(),
            nonce,
        };
        self.say(socket, ToPhone::PairOk(body), re, out);
    }

    /// A person let the phone in that waits at this pairing. `None`: there is none. The phone hears of it by
    /// [`Rooms::confirm`].
    pub fn allow(
        &mut self,
        pairing: &str,
        device: String,
        taken: &dyn Fn(&str) -> bool,
        at: &Moment<'_>,
    ) -> Option<Vec<Output>> {
        let mut out = vec![Output::Keep];
        self.devices_version += 1;
        let used: Vec<String> = self.devices.kept().iter().map(|device| device.room.clone()).collect();
        let free = || {
            let mut names = (1_u32..).map(|n| format!("phone_{n:02}"));
            let free = |name: &String| !used.contains(name) && !taken(name);
            names.find(free).expect("there are more names than rooms")
        };
        let asked = self.pairings.allow(pairing, &mut self.devices, at.now, at.wall, device, free)?;
        self.let_go_of_the_replaced(asked.socket, at, &mut out);
        Some(out)
    }

    /// Tells the phone of a pairing that it was let in, once that is kept. `None`: it does not wait for that.
    pub fn confirm(&mut self, pairing: &str, at: &Moment<'_>) -> Option<Vec<Output>> {
        let (socket, device) = self.pairings.let_in(pairing)?;
        self.peers.get(&socket).filter(|peer| peer.pairing)?;
        let mut out = Vec::new();
        self.paired(socket, &device, None, at, &mut out);
        Some(out)
    }

    /// Whoever is here as a device that its phone replaced by pairing again: no list shows it any more, so nobody
    /// could revoke it. What it publishes ends. `asked` is the phone that pairs, and stays to say who it is now.
    fn let_go_of_the_replaced(&mut self, asked: SocketId, at: &Moment<'_>, out: &mut Vec<Output>) {
        let replaced = |peer: &Peer| peer.device.as_ref().is_some_and(|id| !self.devices.knows(id));
        let replaced: Vec<SocketId> =
            self.peers.iter().filter(|(_, peer)| replaced(peer)).map(|(socket, _)| *socket).collect();
        for socket in replaced {
            self.leave_room(socket, Call::Leave, at, out);
            let device = self.peers.get_mut(&socket).and_then(|peer| peer.device.take());
            device.map(|device| self.memory.remove(&device));
            if socket != asked {
                self.dismiss(socket, ErrorCode::Replaced, "The phone connected anew", at, out);
            }
        }
    }

    /// A person refused, or gave up. `None`: there is no such pairing.
    pub fn end_pairing(&mut self, pairing: &str, at: &Moment<'_>) -> Option<Vec<Output>> {
        let mut out = Vec::new();
        if let Some(asked) = self.pairings.end(pairing)? {
            self.reject(asked.socket, at, &mut out);
        }
        Some(out)
    }

    pub(super) fn reject(&mut self, socket: SocketId, at: &Moment<'_>, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&socket) else { return };
        peer.pairing = false;
        peer.opened = at.now;
        self.say(socket, ToPhone::PairRejected(Rejected { code: Some(ErrorCode::PairRejected) }), None, out);
    }

    /// Lets a device in no more, at once. `false`: there is no such device.
    pub fn revoke(&mut self, device: &str, at: &Moment<'_>) -> Option<Vec<Output>> {
        if !self.devices.revoke(device) {
            return None;
        }
        let mut out = vec![Output::Keep];
        self.devices_version += 1;
        self.memory.remove(device);
        let of_it = |(_, peer): &(&SocketId, &Peer)| peer.device.as_deref() == Some(device);
        let sockets: Vec<SocketId> = self.peers.iter().filter(of_it).map(|(socket, _)| *socket).collect();
        for socket in sockets {
            self.dismiss(socket, ErrorCode::Revoked, "This phone may no longer publish here", at, &mut out);
        }
        Some(out)
    }

    pub(super) fn auth(
        &mut self,
        socket: SocketId,
        re: Option<String>,
        auth: &Auth,
        at: &Moment<'_>,
        out: &mut Vec<Output>,
    ) {
        let Some(peer) = self.peers.get_mut(&socket) else { return };
        if peer.device.is_some() {
            return self.error(socket, re, ErrorCode::BadMessage, "Already authenticated", out);
        }
        // A nonce is good for one attempt, right or wrong.
        let nonce = peer.nonce.take().filter(|_| proof::is_nonce(&auth.nonce_c));
        let checked = nonce.ok_or(Denied::Failed).and_then(|nonce| {
            self.devices
                .check(auth, &nonce, &self.terms.relay_id, &peer.origin.host)
                .map(|d| (d.id.clone(), d.room.clone()))
        });
        let (device, room) = match checked {
            Ok(found) => found,
            Err(denied) => {
                let (code, message) = match denied {
                    Denied::Failed => (ErrorCode::AuthFailed, "This phone is not known here"),
                    Denied::Revoked => (ErrorCode::Revoked, "This phone may no longer publish here"),
                };
                self.say(socket, ToPhone::AuthFailed(Rejected { code: Some(code) }), re, out);
                return self.dismiss(socket, code, message, at, out);
            }
        };
        let before =
            |(id, peer): &(&SocketId, &Peer)| **id != socket && peer.device.as_ref() == Some(&device);
        let before: Vec<SocketId> = self.peers.iter().filter(before).map(|(id, _)| *id).collect();
        for old in before {
            self.dismiss(old, ErrorCode::Replaced, "The phone connected anew", at, out);
        }
        self.devices.seen(&device, at.wall);
        self.devices_version += 1;
        out.push(Output::Keep);
        let gen_hint = self.memory.get(&device).map_or(0, |memory| memory.generation);
        let session = random::<6>(at.chance);
        let Some(peer) = self.peers.get_mut(&socket) else { return };
        let device_id = device.clone();
        peer.device = Some(device.clone());
        peer.peer_id = device;
        let body = AuthOk {
            session,
            rooms: vec![room],
            grants: vec!["publish".to_owned()],
            ice_servers: (self.terms.ice_servers)(&device_id, at.wall),
            gen_hint,
        };
        self.say(socket, ToPhone::AuthOk(body), re, out);
    }
}
