//! The room with a real store and a page that can be lost at any moment.

mod acting;
mod crowd;
mod life;
mod outage;
mod receiving;
mod sending;
