//! What the language has here, and which files are refused.

use super::*;

#[tokio::test(flavor = "current_thread")]
async fn a_file_with_a_mistake_is_refused_with_its_line() {
    let world = Rc::new(Small::default());
    let refused = |text: &str| loaded(text, &world).err().unwrap().to_string();
    assert_eq!(
        refused("wharf.on('message',\nfunction("),
        "scripts/bot.lua:2: Expected identifier when parsing variable name, got <eof>"
    );
    assert_eq!(
        refused("local a\na()"),
        "scripts/bot.lua:2: attempt to call a nil value"
    );
    assert_eq!(
        refused("-- nothing"),
        "scripts/bot.lua: it registers no handler: nothing calls wharf.on, wharf.gate or a timer"
    );
    assert_eq!(
        refused("while true do end"),
        "scripts/bot.lua:1: stopped: the top level takes more than 200ms of CPU time"
    );
    assert_eq!(
        refused("wharf.on('mesage', print)"),
        "scripts/bot.lua:1: on: no event 'mesage'; did you mean 'message'?"
    );
    assert_eq!(
        refused("wharf.on('message', { is_gruop = true }, print)"),
        "scripts/bot.lua:1: on: no filter 'is_gruop'; did you mean 'is_group'?"
    );
    assert_eq!(
        refused("wharf.kv.set('a', 1)"),
        "scripts/bot.lua:1: kv.set works in handlers only, not while the file loads"
    );
    assert_eq!(
        refused("wharf.on('message', function(msg) wharf.on('message', print) end) wharf.x = 1"),
        "scripts/bot.lua:1: wharf is read-only: 'x' cannot be set"
    );
    assert!(refused(&"-".repeat(MAX_SOURCE + 1)).contains("at most 262144"));
}

#[tokio::test(flavor = "current_thread")]
async fn what_leads_out_of_the_sandbox_is_not_there() {
    let names = "for _, name in { 'io', 'package', 'debug', 'loadstring', 'load', 'dofile', 'collectgarbage', 'getfenv', 'setfenv',
        'newproxy', 'coroutine', 'gcinfo' } do if getmetatable(_G) or _G[name] ~= nil then print(name) end end
        print(pcall(function() string.x = 1 end), os.execute, os.getenv, rawget(_G, 'coroutine'))";
    assert_eq!(lines(names).await, ["false\tnil\tnil\tnil"]);
}

#[tokio::test(flavor = "current_thread")]
async fn find_works_as_before() {
    let checks = "print(('hello'):find('l')) print(('hello'):find('xyz')) print(('a.b'):find('.', 1, true))
        print(('hello'):find('l', -2)) print(('hello'):find('', 10)) print(('hello'):find('')) print(('hello'):find('(l)(l)'))
        print(('hello'):find('l', 4)) print(('hello'):find('h', -100)) print(('hello'):find('', 6))";
    assert_eq!(
        lines(checks).await,
        [
            "3\t3",
            "nil",
            "2\t2",
            "4\t4",
            "nil",
            "1\t0",
            "3\t4\tl\tl",
            "4\t4",
            "1\t1",
            "6\t5"
        ]
    );
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_patched_in_the_library_works_as_before() {
    let checks = "print(table.concat(('a, b, c'):split(', '), '|'), #(''):split(', '), #('abc'):split(''), ('a,b'):split()[2])
        print(table.concat(('xx-xx'):split('xx'), '|'), #('a'):split('ab'))
        local t = { 3, 1, 2 } table.sort(t) print(table.concat(t, ' ')) table.sort(t, function(a, b) return a > b end)
        print(table.concat(t, ' ')) print(pcall(table.sort, { 1, 'x' }) == false)
        print(('key=value'):match('(%w+)=(%w+)')) print(('abc'):gsub('b', 'x')) print(('abc'):gsub('%w', 'x', 2))
        for word in ('one two'):gmatch('%a+') do print(word) end
        print(table.foreach({ a = 1 }, function(k, v) return k .. v end), table.foreachi({ 5, 6 }, function(i, v) return v > 5 and i or nil end))
        print(os.date('!%Y', 0))";
    assert_eq!(
        lines(checks).await,
        [
            "a|b|c\t1\t3\tb",
            "|-|\t1",
            "1 2 3",
            "3 2 1",
            "true",
            "key\tvalue",
            "axc\t1",
            "xxc\t2",
            "one",
            "two",
            "a1\t2",
            "1970"
        ]
    );
}

#[tokio::test(flavor = "current_thread")]
async fn a_mistake_in_a_call_of_the_library_is_told_with_the_line_of_the_script() {
    let world = Rc::new(Small::default());
    let fault = ran("local x\nreturn string.match(x, 'a')", &world).await.unwrap_err();
    assert_eq!(fault.line, Some(3), "{fault:?}");
    assert!(fault.message.starts_with("invalid argument #1 to 'match'"), "{fault:?}");
}

#[tokio::test(flavor = "current_thread")]
async fn bytecode_is_no_script() {
    let world = Rc::new(Small::default());
    // What Luau's own compiler begins a file with, by its versions; unchecked, it runs whatever stands in it.
    for first in 0..9_u8 {
        let text = String::from_utf8(vec![first, 3, 5, 0x7f, b'x', 1, 1]).unwrap();
        let refused = loaded(&text, &world).err().unwrap();
        assert_eq!(refused.message, "attempt to load a binary chunk (mode is 't')");
    }
}
