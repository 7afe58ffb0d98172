//! The bot in the hands of a test: what `wharf.test` answers.
//!
//! In: calls of the test. Out: calls of the [`Bot`]. Must not know what they do.

use std::rc::Rc;

use mlua::{AnyUserData, Lua, UserData, UserDataMethods, Value as LuaValue};
use serde_json::Map;

use crate::script::api::convert;
use crate::script::filter::parse_duration;

use super::bot::{Bot, object_of, wrong};

/// The bot as the test holds it; empty only in the one that [`prepare`] makes.
struct Handle(Option<Rc<Bot>>);

impl Handle {
    fn bot(&self) -> mlua::Result<Rc<Bot>> {
        self.0.clone().ok_or_else(|| wrong("this bot is gone"))
    }
}

impl UserData for Handle {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        let what = "what is expected";
        methods.add_async_method("message", |_, this, fields: LuaValue| {
            let bot = this.bot();
            async move { bot?.message(object_of(&fields, "a message")?).await }
        });
        methods.add_async_method("event", |_, this, (name, data): (String, LuaValue)| {
            let bot = this.bot();
            async move { bot?.event(&name, object_of(&data, "the data of an event")?).await }
        });
        methods.add_async_method("replay", |_, this, file: String| {
            let bot = this.bot();
            async move { bot?.replay(&file).await }
        });
        methods.add_async_method("advance", |_, this, by: String| {
            let bot = this.bot();
            async move { bot?.advance(parse_duration(&by).map_err(wrong)?).await }
        });
        methods.add_method("fail", |_, this, given: (String, Option<String>, LuaValue)| {
            let (what, kind, times) = given;
            let times = convert::to_json(&times).map_err(wrong)?;
            this.bot()?.fail(&what, kind.as_deref(), &times)
        });
        methods.add_method("http", |_, this, (call, answer): (String, LuaValue)| {
            this.bot()?.http(call, &object_of(&answer, "an answer")?)
        });
        methods.add_method("expect_http", move |_, this, (call, wanted): (String, LuaValue)| {
            this.bot()?.expect_http(&call, &object_of(&wanted, what)?)
        });
        methods.add_method("knows", |_, this, known: LuaValue| {
            this.bot()?.knows(&object_of(&known, "what is known")?)
        });
        methods.add_method("expect_done", move |_, this, (act, wanted): (String, LuaValue)| {
            let wanted = if wanted.is_nil() {
                Map::new()
            } else {
                object_of(&wanted, what)?
            };
            this.bot()?.expect_done(&act, &wanted)
        });
        methods.add_method("expect_sent", move |_, this, wanted: LuaValue| {
            this.bot()?.expect_sent(&object_of(&wanted, what)?)
        });
        methods.add_method("expect_webhook", move |_, this, wanted: LuaValue| {
            this.bot()?.expect_webhook(&object_of(&wanted, what)?)
        });
        methods.add_method("expect_nothing", |_, this, ()| this.bot()?.expect_nothing());
        methods.add_method("expect_stopped", |_, this, ()| this.bot()?.expect_stopped());
        methods.add_method("expect_passed", |_, this, ()| this.bot()?.expect_passed());
        methods.add_method("expect_error", |_, this, part: String| this.bot()?.expect_error(&part));
        methods.add_method("expect_kv", |_, this, (key, wanted): (String, LuaValue)| {
            this.bot()?.expect_kv(&key, &convert::to_json(&wanted).map_err(wrong)?)
        });
    }
}

/// Makes the methods of bots, which can be done only while the VM still has its `coroutine` library.
pub(super) fn prepare(lua: &Lua) -> mlua::Result<()> {
    lua.create_userdata(Handle(None)).map(drop)
}

/// Hands a bot to Lua.
pub(super) fn object(lua: &Lua, bot: Rc<Bot>) -> mlua::Result<AnyUserData> {
    lua.create_userdata(Handle(Some(bot)))
}
