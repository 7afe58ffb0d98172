//! Files: downloaded, made, sent, forwarded, posted.

use super::*;
use crate::action::Shape;

fn with_picture() -> Arc<Event> {
    let mut event = (*message("")).clone();
    event.data["id"] = "false_49170@c.us_3EB0".into();
    event.data["type"] = "ptt".into();
    event.data["body"] = serde_json::Value::Null;
    event.data["caption"] = "look".into();
    event.data["media"] =
        json!({ "id": null, "mimetype": "audio/ogg", "filename": null, "size": 9, "sha256": null, "status": "remote" });
    Arc::new(event)
}

async fn runs(body: &str, event: &Arc<Event>, world: &Rc<Small>) -> Result<Effects, Fault> {
    let text = format!("wharf.on('message', function(msg)\n{body}\nend)");
    loaded(&text, world).unwrap().run(event, false, Place::free()).await
}

#[tokio::test(flavor = "current_thread")]
async fn a_downloaded_file_is_answered_with_and_posted_to_a_service() {
    let world = Rc::new(Small::default());
    let body = "local file = msg:download()\n\
        print(file.mimetype, file.filename, file.size, tostring(file))\n\
        msg:reply{ file = file, text = 'yours', quote = true }\n\
        wharf.account('sales'):send('1@g.us', { file = file, as = 'document' })\n\
        wharf.http.post('https://api.example.com/scan', { body = file })";
    runs(body, &with_picture(), &world).await.unwrap();
    assert_eq!(
        world.lines.take()[0].text,
        "image/png\tdot.png\t9\tfile dot.png (image/png, 9 bytes)"
    );
    assert_eq!(world.downloads.take()[0].message, "false_49170@c.us_3EB0");
    let sends: Vec<Content> = world.sends.take().into_iter().map(|order| order.content).collect();
    let [
        Content::File {
            file,
            shape,
            caption,
            quote,
        },
        Content::File {
            shape: second,
            caption: none,
            ..
        },
    ] = &sends[..]
    else {
        panic!("{sends:?}")
    };
    assert_eq!((file.size, *shape, *second), (9, Shape::Image, Shape::Document));
    assert_eq!(caption.as_deref(), Some("yours"));
    assert_eq!(quote.as_deref(), Some("false_49170@c.us_3EB0"));
    assert_eq!(*none, None);
    let (_, request) = world.calls.take().remove(0);
    assert_eq!(request.body, "bytes of image/png");
    assert!(
        request
            .headers
            .contains(&("content-type".to_owned(), "image/png".to_owned()))
    );
}

#[tokio::test(flavor = "current_thread")]
async fn a_file_is_made_of_bytes() {
    let world = Rc::new(Small::default());
    ran(
        "msg:reply{ file = { body = 'a;b\\0c', mimetype = 'text/csv', filename = 'sums.csv' } }",
        &world,
    )
    .await
    .unwrap();
    let made = world.made.take().remove(0);
    assert_eq!(
        (&made.bytes[..], made.filename.as_deref()),
        (&b"a;b\0c"[..], Some("sums.csv"))
    );
    assert!(matches!(
        world.sends.take()[0].content,
        Content::File {
            shape: Shape::Document,
            ..
        }
    ));
}

#[tokio::test(flavor = "current_thread")]
async fn a_forwarded_file_stays_what_it_was() {
    let world = Rc::new(Small::default());
    runs("msg:forward('sales', '1@g.us')", &with_picture(), &world)
        .await
        .unwrap();
    let sends = world.sends.take();
    let Content::File { shape, caption, .. } = &sends[0].content else {
        panic!("{sends:?}")
    };
    assert_eq!((*shape, caption.as_deref()), (Shape::Voice, Some("look")));
    let fault = runs("msg:forward('sales', '1@g.us')", &message_of("location"), &world)
        .await
        .unwrap_err();
    assert_eq!(
        fault.message,
        "forward: a message of type 'location' has nothing that wharf can send on"
    );
}

fn message_of(kind: &str) -> Arc<Event> {
    let mut event = (*message("")).clone();
    event.data["type"] = kind.into();
    event.data["body"] = serde_json::Value::Null;
    Arc::new(event)
}

#[tokio::test(flavor = "current_thread")]
async fn a_wrong_file_is_refused_before_anything_is_sent() {
    let world = Rc::new(Small::default());
    for (call, says) in [
        (
            "msg:download()",
            "message:download: the message carries no file: ask `if msg.media` before",
        ),
        (
            "msg:reply{ file = 'a.png' }",
            "message:reply: file must be one that was downloaded, or { body =, mimetype =, filename = }, not a string",
        ),
        (
            "msg:reply{ file = msg }",
            "message:reply: file must be a file, not another object",
        ),
        (
            "msg:reply{ file = { body = 'x' } }",
            "message:reply: file.mimetype must be a string, not nil",
        ),
        (
            "msg:reply{ file = { body = 'x', mimetype = 'png' } }",
            "message:reply: file.mimetype must be a type such as \"image/png\"",
        ),
        (
            "msg:reply{ file = { body = 'x', mimetype = 'a/b', filename = '../x' } }",
            "message:reply: file.filename must be a name of at most 255 bytes without slashes",
        ),
        (
            "msg:reply{ file = { body = 'x', mimetype = 'a/b' }, as = 'imge' }",
            "message:reply: a file cannot be shown as 'imge'; did you mean 'image'?",
        ),
        (
            "msg:reply{ text = 'x', as = 'image' }",
            "message:reply: as says how a file is shown, and there is no file",
        ),
        (
            "msg:reply{ file = { body = ('x'):rep(11000000), mimetype = 'a/b' } }",
            "message:reply: file.body has more than 10485760 bytes",
        ),
    ] {
        let fault = ran(call, &world).await.unwrap_err();
        assert_eq!(fault.message, says, "{call}");
    }
    assert!(world.sends.take().is_empty() && world.made.take().is_empty());
}
