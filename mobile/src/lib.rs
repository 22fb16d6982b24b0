//! The companion's end of signaling: a WebSocket to the one computer whose key stood in the QR code.
//!
//! The page that films runs in a web view, which cannot be told to trust a key; so the socket is opened here,
//! and the page gets and gives messages. Invariant: nothing is sent to, and nothing is taken from, anybody who
//! has not proved during the TLS handshake that the pinned key is theirs. It knows nothing of what the
//! messages mean, and never tries again by itself: the page's session decides about that.

mod line;
mod pin;
mod wire;

pub use line::{BadDial, Line, Told};
pub use pin::{BadPin, Pin, PinnedTls};
pub use wire::{Address, BadAddress, End, Event, MESSAGE_MAX, Wire, WireError};

#[cfg(feature = "app")]
mod app;

#[cfg(feature = "app")]
pub use app::run;
