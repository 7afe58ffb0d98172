//! The simulator's page in a real browser, seen through the unmodified library alone.
//!
//! Together these tests use every call and event of the library that concerns codes, states, texts, acks and chats.

mod away;
mod deeds;
mod lists;
mod people;
mod states;
mod texts;

use std::path::Path;

use serde_json::Value;

use crate::support::browser::Tab;
use crate::support::simulator::Simulator;
use crate::support::until;

const ADA: &str = "4915100000001";
const BOB: &str = "4915100000002";
const CLEO: &str = "4915100000003";
const BOB_CHAT: &str = "4915100000002@c.us";

/// A simulator with three phones.
async fn town() -> Simulator {
    let simulator = Simulator::start().await;
    for (number, name) in [(ADA, "Ada"), (BOB, "Bob"), (CLEO, "Cleo")] {
        simulator.add_phone(number, name).await;
    }
    simulator
}

/// A tab that is linked to a phone.
async fn linked(simulator: &Simulator, profile: &Path, number: &str) -> Tab {
    let tab = Tab::open(profile, &simulator.url()).await;
    let code = tab.code().await;
    simulator.scan(number, &code).await;
    tab.ready().await;
    tab
}

/// Sends a text by the library; answers what it answered, as plain data.
async fn send(tab: &Tab, to: &str, text: &str, options: &str) -> Value {
    let script = format!(
        "WPP.chat.sendTextMessage({to:?}, {text:?}, {{linkPreview: false, markIsRead: false, ...{options}}})\
         .then(async ({{id, ack, from, to, sendMsgResult}}) => ({{id: String(id), ack, from: String(from), to: String(to), \
         result: (await sendMsgResult).messageSendResult}}))"
    );
    tab.eval(&script).await
}
