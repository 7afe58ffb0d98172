//! The admin over real sockets, with a real store, real sessions without a browser, and real scripts.

mod accounts;
mod limits;
mod pages;
mod rig;
mod shown;
mod way_in;
