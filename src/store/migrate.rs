//! Bringing a store of an older wharf up to the schema of this one.
//!
//! In: a database that was just opened, and its schema. Out: the same with [`SCHEMA`], in one commit for each step, so that a crash
//! leaves the one or the other. A row's own version (`record`) is another matter: this is about which rows there are.
//!
//! | schema | since | what is new |
//! |---|---|---|
//! | 1 | 0.1.0 | |
//! | 2 | 0.2.0 | the head says where the journal begins, and its size |

use super::disk::Disk;
use super::engine::Rows;
use super::layout::Table;
use super::stage::{Head, Layer};
use super::{Error, retention};

/// The schema that this program writes and reads.
pub(super) const SCHEMA: u32 = 2;

/// Brings a store of schema `found`, which is older, up to [`SCHEMA`].
pub(super) fn from(disk: &Disk, found: u32) -> Result<(), Error> {
    if found == 0 {
        return Err(Error::corrupt("schema 0 was never written by any wharf"));
    }
    tracing::info!(
        from = found,
        to = SCHEMA,
        "the store is brought up to this version of wharf"
    );
    if found < 2 {
        let mut head = Head::read(disk)?;
        (head.first, head.journal_bytes) = retention::count(disk, &head)?;
        let nothing = Rows::new();
        let mut layer = Layer::over(disk, &nothing, head);
        layer.write_head()?;
        layer.put(Table::Schema.prefix(), &2_u32)?;
        commit(disk, layer)?;
    }
    Ok(())
}

fn commit(disk: &Disk, layer: Layer<'_>) -> Result<(), Error> {
    disk.apply(layer.into_rows())?;
    disk.sync()
}
