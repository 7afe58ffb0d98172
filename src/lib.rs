//! wharf: a scriptable host for WhatsApp accounts.
//!
//! The rooms, and what each may know, are described in `docs/architecture.md`; `tests/it/layers.rs` holds the code to it.

pub mod action;
pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod event;
pub mod http;
pub mod media;
pub mod page;
pub mod script;
pub mod session;
pub mod simulator;
pub mod store;
pub mod telemetry;
pub mod watch;
pub mod webhook;
