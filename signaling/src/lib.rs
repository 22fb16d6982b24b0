//! How phones and Nightjar find each other: the messages of signaling, protocol v1 and its legacy form,
//! and the relay that carries them (feature `relay`).
//!
//! It knows nothing of media and never reads a session description: what becomes of an offer is decided by
//! whoever it is for. Invariant: what a peer says concerns its own room and its own connection, and nobody
//! else's.

pub mod candidate;
pub mod inbound;
pub mod legacy;
pub mod message;
pub mod proof;
#[cfg(feature = "relay")]
pub mod relay;
