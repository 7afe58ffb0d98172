//! The JavaScript that goes into the page, put together.
//!
//! In: the library and the agent's files. Out: the scripts for each new document, and the expressions that call the
//! agent. Knows of the library only where it is guarded against a second copy.

use serde::Deserialize;
use serde_json::Value;

use super::Library;

/// The binding through which the agent reports; the agent's files use the same name.
pub(super) const BINDING: &str = "wharf$report";

/// What the agent puts before the reason when there is no such chat.
pub(super) const NO_CHAT: &str = "no_chat";

/// What the agent puts before the reason when the page cannot do it at all.
pub(super) const NOT_SUPPORTED: &str = "not_supported";

/// Asks for the status; a page without the agent answers as well.
pub(super) const STATUS: &str = "typeof wharf$agent === 'undefined' \
     ? JSON.stringify({ url: location.href }) \
     : wharf$agent.status()";

/// The agent's files, one after the other in one function.
const AGENT: &str = concat!(
    include_str!("agent/ring.js"),
    include_str!("agent/message.js"),
    include_str!("agent/state.js"),
    include_str!("agent/encrypted.js"),
    include_str!("agent/events.js"),
    include_str!("agent/acts.js"),
    include_str!("agent/files.js"),
    include_str!("agent/agent.js"),
);
const CONFIG: &str = include_str!("agent/config.js");

/// What the agent answers to a call.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Answer {
    /// Its result.
    Ok { ok: Value },
    /// Why not.
    Failed { failed: String },
    /// There is no agent in this document.
    NoAgent {
        #[expect(dead_code, reason = "only its presence says something")]
        no_agent: bool,
    },
}

/// The expression that calls a method of the agent.
pub(super) fn call(method: &str, arguments: &Value) -> String {
    format!(
        "typeof wharf$agent === 'undefined' ? '{{\"no_agent\":true}}' : wharf$agent.call({}, {arguments})",
        Value::from(method)
    )
}

/// The scripts that run in each new document before the page's own, in this order. They do nothing in frames inside
/// the page and in documents that did not come by HTTP; the library is not put in where it is already.
pub(super) fn on_new_document(library: &Library) -> [String; 2] {
    let top = "window === window.top && /^https?:$/.test(location.protocol)";
    [
        format!("if ({top} && !('WPP' in window)) {{\n{CONFIG}\n{}\n}}", library.text()),
        format!("if ({top} && typeof wharf$agent === 'undefined') {{\n(() => {{\n'use strict';\n{AGENT}\n}})();\n}}"),
    ]
}
