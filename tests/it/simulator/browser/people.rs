//! The page for people, used as a person uses it.

use serde_json::json;

use super::*;

#[tokio::test]
async fn a_person_adds_links_and_writes_on_the_page_with_the_phones() {
    let simulator = Simulator::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (ada, people) = (folder.path().join("ada"), folder.path().join("people"));
    let tab = Tab::open(&ada, &simulator.url()).await;
    tab.code().await;
    let page = Tab::bare(&people, &format!("{}phones", simulator.url()), &[]).await;
    let click = async |what: &str, text: &str| {
        let find =
            format!("[...document.querySelectorAll({what:?})].find((one) => one.textContent.includes({text:?}))");
        page.until(&format!("{find} && true")).await;
        page.eval(&format!("{find}.click()")).await;
    };
    let of = |number: &str, what: &str| format!("[data-number=\"{number}\"] {what}");

    for (number, name) in [(ADA, "Ada"), (BOB, "Bob")] {
        click("#new-phone", "Add phone").await;
        let fill = format!(
            "(([number, name]) => {{number.value = '{number}'; name.value = '{name}';}})(document.querySelectorAll('#phone-dialog input'))"
        );
        page.eval(&fill).await;
        click("#phone-dialog button", "Add").await;
        page.until(&format!("document.querySelector('{}') && true", of(number, "header")))
            .await;
    }
    click(&of(ADA, ".strip button"), "Scan").await;
    click("#codes button", "Page").await;
    tab.ready().await;
    page.until(&format!(
        "document.querySelector('{}').textContent.includes('1 device, connected')",
        of(ADA, ".strip")
    ))
    .await;

    click(&of(BOB, ".people button"), "Ada").await;
    page.until(&format!("!document.querySelector('{}').hidden", of(BOB, ".writer")))
        .await;
    let write = format!(
        "((box) => {{box.value = '<b>price</b>'; box.form.requestSubmit();}})(document.querySelector('{}'))",
        of(BOB, ".writer textarea")
    );
    page.eval(&write).await;
    let (_, message) = tab
        .event("chat.new_message", 0, |message| message["body"] == "<b>price</b>")
        .await;
    assert_eq!(
        send(&tab, message["chat"].as_str().unwrap(), "ten", "{}").await["result"],
        "OK"
    );
    // Bob has the chat open, so he has read the answer; Ada's account has not read his question.
    let bubbles = format!(
        "[...document.querySelectorAll('{}')].map((one) => [one.classList.contains('mine'), one.firstChild.textContent, \
         one.querySelector('.tick')?.title ?? ''])",
        of(BOB, ".bubble")
    );
    let expected = json!([[true, "<b>price</b>", "delivered"], [false, "ten", ""]]);
    page.until(&format!("JSON.stringify({bubbles}) === {:?}", expected.to_string()))
        .await;
    simulator
        .message(ADA, |message| message.text == "ten" && message.ack == 3)
        .await;
    tokio::join!(tab.close(), page.close());
}
