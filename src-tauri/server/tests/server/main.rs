//! The door from outside: real sockets, real bytes.

#![allow(clippy::unwrap_used, reason = "all of it is tests")]

mod access;
mod bodies;
mod contract;
mod healing;
mod knock;
mod media;
mod phones;
mod program;
mod recordings;
mod signaling;
mod sockets;
mod whip;
