//! The room with a real store and a page that can be lost at any moment.

mod life;
mod receiving;
mod sending;
