//! The HTTP and WebSocket door of Nightjar.
//!
//! It takes what browsers and programs ask, checks who asks, and hands it to the
//! [`nightjar_engine::engine::EngineHandle`]. The headless program and the desktop shell both open it.
//! Invariant: nothing that comes from outside changes anything before its host, origin, credentials, form
//! and size were found right. It knows no camera protocol and keeps no state of cameras.

mod auth;
mod body;
mod bundle;
pub mod demo;
mod door;
mod file;
mod guard;
mod hosts;
pub mod log;
pub mod memory;
mod metrics;
mod openapi;
mod phones;
mod reply;
mod routes;
mod seal;
mod serve;
mod shares;
mod signal;
mod store;
mod tls;
mod wall;
mod webhook;
mod wire;
mod zip;

pub use auth::Ticket;
pub use phones::PhoneOptions;
pub use seal::SealKey;
pub use serve::{Server, ServerOptions, Tickets};
pub use store::{DirError, FileStore, default_dir};
pub use tls::{Tls, TlsError};
