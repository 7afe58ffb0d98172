//! The integration tests, one binary: real Chromium, real library, real sockets, real files.

#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect has failed")]

mod page;
mod simulator;
mod support;
