//! Tests that start a browser.

mod claims;
mod linking;
mod processes;
mod ring;
mod sending;
