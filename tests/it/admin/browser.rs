//! The admin with a real page behind it: the code to scan, pictures, sends.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::browser::Tab;
use crate::support::client::{Answer, Client};
use crate::support::host::{Home, Host};
use crate::support::phones::Phones;

const SHOP: &str = "491700000001";
const ANNA: &str = "491700000002";

fn picture(data_url: &Value, kind: &str) -> Vec<u8> {
    let text = data_url.as_str().unwrap();
    let start = format!("data:image/{kind};base64,");
    STANDARD
        .decode(text.strip_prefix(start.as_str()).expect("a data URL"))
        .unwrap()
}

/// Sends with a key that names the send.
async fn send(client: &Client, name: &str, text: &str) -> Answer {
    let body = json!({"to": ANNA, "message": text});
    let path = "/api/accounts/shop/messages/send";
    client
        .with(Method::POST, path, &[("idempotency-key", name)], Some(body))
        .await
}

async fn the_code_is_served_in_three_forms_and_its_picture_to_nobody_without_the_scope(host: &Host, reader: &Client) {
    let code = host.get("/api/accounts/shop/qr").await;
    let now = jiff::Timestamp::now().as_millisecond();
    assert!(code.json["attempt"].as_u64().unwrap() >= 1, "{code:?}");
    assert!(code.json["expires_at"].as_i64().unwrap() > now - 60_000, "{code:?}");
    image::load_from_memory(&picture(&code.json["image"], "png")).unwrap();
    let png = host.get("/api/accounts/shop/qr.png").await;
    assert_eq!(png.headers["content-type"], "image/png");
    assert!(image::load_from_memory(&png.bytes).unwrap().width() >= 400);
    let svg = host.get("/api/accounts/shop/qr.svg").await;
    assert_eq!(svg.headers["content-type"], "image/svg+xml");
    assert!(String::from_utf8(svg.bytes).unwrap().contains("<svg"));

    for path in ["qr", "qr.png", "snapshot"] {
        let refused = reader.get(&format!("/api/accounts/shop/{path}")).await;
        assert_eq!(
            (refused.status, &refused.json["error_code"]),
            (403, &json!("MISSING_SCOPE")),
            "{path}"
        );
        assert!(refused.json["error"].as_str().unwrap().contains("`qr`"), "{refused:?}");
    }
    let shown = host.get("/api/accounts/shop/snapshot").await;
    assert_eq!(
        (shown.status, &shown.headers["content-type"]),
        (200, &"image/png".parse().unwrap())
    );
}

async fn pictures_come_in_the_form_that_is_asked_for_and_with_their_age(host: &Host, reader: &Client) {
    let path = "/api/accounts/shop/snapshot";
    let jpeg = host
        .until(
            "a picture for a reader",
            || reader.get("/api/accounts/shop/snapshot?format=jpeg"),
            |now| now.status == 200,
        )
        .await;
    assert_eq!(jpeg.headers["content-type"], "image/jpeg");
    assert_eq!(image::guess_format(&jpeg.bytes).unwrap(), image::ImageFormat::Jpeg);
    assert!(jpeg.headers["age"].to_str().unwrap().parse::<u64>().is_ok());
    let told = reader
        .with(Method::GET, path, &[("accept", "application/json")], None)
        .await;
    image::load_from_memory(&picture(&told.json["image"], "png")).unwrap();
    assert!(
        told.json["taken_at"].as_i64().unwrap() > 0 && told.json["age_ms"].is_u64(),
        "{told:?}"
    );
    assert_eq!(
        reader.get("/api/accounts/shop/snapshot?format=gif").await.json["error_code"],
        "BAD_FORMAT"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_linked_looked_at_and_written_from_by_the_admin() {
    let phones = Phones::start().await;
    phones.add(SHOP, "Shop").await;
    phones.add(ANNA, "Anna").await;
    let home = Home::new(&phones.url, "");
    let host = Host::start(&home).await;
    let (own, read) = (home.key(&["admin"]), home.key(&["read"]));
    let client = Client::new(host.client().base(), Some(&own));
    let reader = Client::new(host.client().base(), Some(&read));
    host.create_account("shop").await;
    the_code_is_served_in_three_forms_and_its_picture_to_nobody_without_the_scope(&host, &reader).await;

    let folder = tempfile::tempdir().unwrap();
    let page = Tab::bare(folder.path(), &format!("{}/accounts/shop", host.client().base()), &[]).await;
    page.until("document.querySelector('input[name=key]') && true").await;
    page.eval(&format!(
        "((field) => {{ field.value = '{own}'; field.form.requestSubmit(); }})(document.querySelector('input[name=key]'))"
    ))
    .await;
    page.until("document.querySelector('img.qr')?.naturalWidth > 0").await;
    page.until("document.body.textContent.includes('Linked devices')").await;
    page.eval("window.sameDocument = true").await;
    let first = page.eval("document.querySelector('img.qr').src").await;
    page.until(&format!("document.querySelector('img.qr')?.src !== {first}"))
        .await;

    let qr = host.qr("shop").await;
    phones.scan(SHOP, &qr).await;
    host.state("shop", "ready").await;
    page.until("document.querySelector('form[data-api$=\"messages/send\"]') && true")
        .await;
    assert_eq!(
        page.eval("window.sameDocument").await,
        json!(true),
        "it needed no reload"
    );
    page.close().await;

    pictures_come_in_the_form_that_is_asked_for_and_with_their_age(&host, &reader).await;

    let first = send(&client, "order-1", "your table is ready").await;
    assert_eq!(
        (first.status, &first.json["status"]),
        (200, &json!("sent")),
        "{first:?}"
    );
    let again = send(&client, "order-1", "your table is ready").await;
    assert_eq!((again.status, &again.json), (200, &first.json));
    let other = send(&client, "order-1", "your table is gone").await;
    assert_eq!(
        (other.status, &other.json["error_code"]),
        (409, &json!("IDEMPOTENCY_KEY_REUSED"))
    );
    let (one, two) = tokio::join!(send(&client, "order-2", "one"), send(&client, "order-2", "two"));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409], "{one:?} {two:?}");

    assert_eq!(host.stop().await, Some(0));
    let host = Host::start(&home).await;
    let client = Client::new(host.client().base(), Some(&own));
    let later = send(&client, "order-1", "your table is ready").await;
    assert_eq!(
        (later.status, &later.json),
        (200, &first.json),
        "the answer outlives the host"
    );
    host.state("shop", "ready").await;
    phones.until_text(ANNA, "your table is ready").await;
    let texts = phones.texts(ANNA).await;
    assert_eq!(
        texts.iter().filter(|text| text.starts_with("your table")).count(),
        1,
        "{texts:?}"
    );
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert_eq!(host.stop().await, Some(0));
}
