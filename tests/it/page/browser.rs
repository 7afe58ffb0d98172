//! Tests that start a browser.

mod claims;
mod leaks;
mod linking;
mod processes;
mod ring;
mod sending;
mod unreadable;
