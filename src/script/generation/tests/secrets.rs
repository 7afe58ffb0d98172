//! Secrets: used, and not seen.

use super::*;

#[tokio::test(flavor = "current_thread")]
async fn a_secret_is_never_shown() {
    let world = Rc::new(Small::default());
    ran(
        "local s = wharf.secret('llm')
        local joined = 'Bearer ' .. s .. 1 .. s
        print(s, joined, `{s}`, string.format('%s', tostring(s)), type(s))
        wharf.log.info('x', { token = joined })
        for _, use in {
            function() return #s end, function() return s:sub(1) end, function() return s.text end,
            function() return wharf.json.encode({ s }) end, function() wharf.kv.set('x', s) end,
            function() wharf.webhook.post('crm', s) end, function() msg:reply(s) end,
            function() return wharf.crypto.sha256(s) end, function() return wharf.crypto.hex_encode(s) end,
            function() return table.concat({ s }) end, function() return string.rep(s, 2) end,
            function() return getmetatable(s).__concat end, function() return s .. {} end,
            function() error(s) end,
        } do
            local fine, result = pcall(use)
            if fine then error('it was shown') end
            print(tostring(result))
        end",
        &world,
    )
    .await
    .unwrap();
    let lines = world.lines.take();
    assert_eq!(lines[0].text, "***\t***\t***\t***\tuserdata");
    assert_eq!(lines[1].fields["token"], json!("***"));
    for line in lines {
        assert!(!format!("{line:?}").contains("geheim"), "{line:?}");
    }
    assert!(world.sends.take().is_empty());
    let fault = ran("error('with ' .. wharf.secret('llm'))", &world).await.unwrap_err();
    assert!(!format!("{fault:?}").contains("geheim"), "{fault:?}");
}

#[tokio::test(flavor = "current_thread")]
async fn a_secret_is_the_key_of_a_signature_and_stays_hidden_as_base64() {
    assert_eq!(
        lines(
            "local c, s = wharf.crypto, wharf.secret('llm')
            print(c.hmac_sha256(s, 'x') == c.hmac_sha256('geheim', 'x'), c.equal(s, 'geheim'), c.equal('other', s))
            local basic = c.base64_encode('me:' .. s)
            print(basic, c.equal('Basic ' .. basic, 'Basic bWU6Z2VoZWlt'))"
        )
        .await,
        ["true\ttrue\tfalse", "***\ttrue"]
    );
}

#[tokio::test(flavor = "current_thread")]
async fn a_plugin_gets_only_the_secrets_that_it_declares() {
    let world = Rc::new(Small::default());
    let declared = crate::script::permissions::Declared {
        events: vec!["message".into()],
        secrets: vec!["other".into()],
        ..Default::default()
    };
    let mut setup = setup(&world);
    setup.permissions = Permissions::Declared(declared);
    let source = Source {
        name: "bot".into(),
        file: "plugins/bot/main.lua".into(),
        text: "local ok, e = pcall(wharf.secret, 'llm') print(ok, e.kind) wharf.on('message', print)".into(),
        libraries: Libraries::new(),
    };
    load(&source, setup).unwrap();
    assert_eq!(world.lines.take()[0].text, "false\tnot_permitted");
    let fault = ran("wharf.secret('none')", &world).await.unwrap_err();
    assert_eq!(fault.message, "secret: there is no 'none' in [secrets] of config.toml");
}
