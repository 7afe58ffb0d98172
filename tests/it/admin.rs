//! The admin over real sockets, with a real store, real sessions without a browser, and real scripts; with browsers in
//! `browser`.

mod access;
mod accounts;
mod browser;
mod events;
mod listening;
mod looking;
mod pages;
mod rig;
mod slow;
mod store;
