//! One camera: a source, its life and its figures.
//!
//! Invariant: one task per stream owns its source, its session and its place in the hub; everybody else
//! sees a [`Status`] and sends [`Order`]s. It decides nothing about time itself, see [`crate::retry`], and
//! does not know who watches.

mod meter;
mod status;
mod supervisor;
mod watch;

pub use meter::{Meter, Reading};
pub use status::{Status, StatusCell, state_name};
pub use supervisor::{Order, Supervisor};
pub use watch::Watch;
