//! Wires the rooms; the only file that knows all of them.
