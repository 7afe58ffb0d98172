//! The integration tests, one binary: real Chromium, real library, real sockets, real files.

mod page;
mod simulator;
mod support;
