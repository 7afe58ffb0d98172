//! Configuration: as written, resolved, live.

pub mod resolved;

pub use resolved::{Config, Secret};
