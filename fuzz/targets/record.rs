//! A row of the store with any content is decoded or reported as damaged.
//!
//! The first byte says how long the key is; then the key, then the row.

/// Reads the bytes as a key and its row.
pub(crate) fn run(data: &[u8]) {
    let Some((length, rest)) = data.split_first() else {
        return;
    };
    let (key, row) = rest.split_at(usize::from(*length).min(rest.len()));
    if let Err(error) = wharf::store::look_at_row(key, row) {
        assert!(!error.to_string().contains("just packed"), "{error}");
    }
}
