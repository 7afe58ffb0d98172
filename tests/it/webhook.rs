//! Deliveries of the outbox: a real store, a real listener, the verification of the standard's own library.

mod about;
mod failing;
mod rig;
mod sent;
