//! When to try again, and when to give up waiting: pure values that are told the time.
//!
//! Nothing here sleeps, reads a clock or throws dice: `now` and `rng` are arguments, so every decision can
//! be tested on invented time. The loops that act on these decisions live with their owners.

mod backoff;
mod ladder;
mod lifecycle;
mod watchdog;

pub use backoff::Backoff;
pub use ladder::{Facts, Failure, Ladder, Note, Rung, Stage, Verdict};
pub use lifecycle::{Action, Input, Lifecycle, Phase, Policy};
pub use watchdog::{Silence, Watchdog};
