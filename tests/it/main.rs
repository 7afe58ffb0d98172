//! The integration tests, one binary: real Chromium, real library, real sockets, real files.
//!
//! Tests that start a browser live in a module `browser`, which nextest runs two at a time.

mod crash;
mod journey;
mod layers;
mod script_tools;
mod session;
mod store;
mod support;
mod webhook;
