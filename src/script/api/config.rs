//! `wharf.config`: the script's own settings.
//!
//! In: its table of `config.toml`, for a plugin checked against its manifest. Out: a table that cannot be changed. A change
//! of the settings loads the script anew.

use mlua::Value;

use super::{Body, Row, convert};

/// `config`
pub(crate) const ROWS: &[Row] = &[Row {
    name: "config",
    signature: "table",
    doc: "The settings of `[script.NAME]` or `[plugins.NAME]` in config.toml, read-only.",
    permission: None,
    body: Body::Value(|lua, config| convert::object_to_lua(lua, config, true).map(Value::Table)),
}];
