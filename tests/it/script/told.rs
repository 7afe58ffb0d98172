//! What a person is told of an error.

use super::bench::Bench;

#[tokio::test(flavor = "multi_thread")]
async fn the_last_error_says_what_to_do_of_which_event_it_was_and_how_often_it_came() {
    let mut bench = Bench::empty();
    bench.write(
        "bot",
        "wharf.on('message', function(msg)\n  local order\n  msg:reply(order.price)\nend)",
    );
    bench.times.retries = [std::time::Duration::from_millis(1); 4];
    bench.start().await;
    let event = bench.message("49170@c.us", "hello").await;
    let view = bench
        .until_view("bot", |view| {
            view.last_error.as_ref().is_some_and(|error| error.count == 5)
        })
        .await;
    let error = view.last_error.unwrap();
    assert_eq!(error.headline(), "scripts/bot.lua:3: attempt to index nil with 'price'");
    assert_eq!(
        error.advice.as_deref(),
        Some("`order` is nil, so it has no 'price'; check it first, as in `if order then`")
    );
    let excerpt = "     2 |   local order\n>    3 |   msg:reply(order.price)\n     4 | end)";
    assert_eq!(error.excerpt.as_deref(), Some(excerpt));
    let cause = error.event.unwrap();
    assert_eq!((cause.id, cause.name.as_str()), (event.id.clone(), "message"));
    assert_eq!(
        (cause.account.as_deref(), cause.chat.as_deref()),
        (Some("sales"), Some("49170@c.us"))
    );
    assert!(error.first_at <= error.at);
    let told = bench.until_event("script.error", |_| true).await;
    assert_eq!(told.text("advice"), error.advice.as_deref());
    assert_eq!(told.text("excerpt"), Some(excerpt));
    // The same line of another version.
    bench.write(
        "bot",
        "wharf.on('message', function(msg)\n  local order\n  msg:reply(order.total)\nend)",
    );
    bench.until_view("bot", |view| view.generation == 2).await;
    bench.message("a@c.us", "hello").await;
    let again = bench.until_view("bot", |view| {
        let error = view.last_error.as_ref();
        error.is_some_and(|error| error.message.ends_with("'total'"))
    });
    assert!(
        again.await.last_error.unwrap().count <= 5,
        "it is counted since the script was loaded"
    );
    let refused = "wharf.on('message', function()\nend\nnonsense";
    bench.write("bot", refused);
    let view = bench.until_view("bot", |view| view.refused.is_some()).await;
    assert!(view.refused.unwrap().excerpt.unwrap().contains("nonsense"));
}
