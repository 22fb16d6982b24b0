//! The engine of Nightjar: one camera is one [`source`], whose [`media::Frame`]s flow one way through
//! the [`hub`] to everybody who subscribed.
//!
//! Modules are layered and import downwards only; `tests/tidy.rs` in the workspace enforces it. The
//! engine knows neither HTTP nor Tauri: both doors hold an [`engine::EngineHandle`].
#![doc = include_str!("../../../ARCHITECTURE.md")]

pub mod api;
pub mod archive;
pub mod audio;
pub mod camera;
pub mod config;
pub mod engine;
pub mod env;
pub mod fault;
pub mod fmp4;
pub mod hub;
pub mod ingest;
pub mod live;
pub mod media;
pub mod record;
pub mod retry;
pub mod sfu;
pub mod source;
pub mod still;
pub mod store;
