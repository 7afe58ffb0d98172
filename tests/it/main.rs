//! The integration tests, one binary: real Chromium, real library, real sockets, real files.
//!
//! Tests that start a browser live in a module `browser`, which nextest runs two at a time.

#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect has failed")]

mod acts;
mod admin;
mod crash;
mod demo;
mod docs;
mod fuzzing;
mod journey;
mod keys;
mod killing;
mod layers;
mod operations;
mod page;
mod plugins;
mod record;
mod repl;
mod script;
mod script_tools;
mod session;
mod simulator;
mod store;
mod support;
mod types;
mod webhook;
