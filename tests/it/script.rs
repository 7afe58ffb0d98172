//! Scripts over the real store, real files and real VMs; only the accounts are recorded instead of driven.

mod bench;
mod dead;
mod edits;
mod formats;
mod gates;
mod jobs;
mod killed;
mod killed_account;
mod limits;
mod plugins;
mod queue;
mod recorder;
mod reloads;
mod runaways;
mod runs;
mod since;
mod skipped;
mod stuck;
mod timers;
mod told;
mod tries;
