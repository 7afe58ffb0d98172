//! Deliveries of the outbox: a real store, a real listener, the verification of the standard's own library.

mod attempts;
mod backlog;
mod clock;
mod dead;
mod disabled;
mod endpoints;
mod faults;
mod order;
mod python;
mod replay;
mod rig;
mod rotation;
mod status;
mod tls;
