//! The door from outside: real sockets, real bytes.

mod access;
mod bodies;
mod contract;
mod knock;
mod media;
mod program;
mod sockets;
