//! Tests that start a browser.

mod acting;
mod claims;
mod leaks;
mod linking;
mod processes;
mod ring;
mod sending;
mod unreadable;
