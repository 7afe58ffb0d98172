//! Deliveries of the outbox: a real store, a real listener, the verification of the standard's own library.

mod attempts;
mod dead;
mod endpoints;
mod order;
mod replay;
mod rig;
