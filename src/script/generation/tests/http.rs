//! Calls of other services.

use super::*;

#[tokio::test(flavor = "current_thread")]
async fn a_call_says_what_the_script_says_and_its_answer_is_read() {
    let world = Rc::new(Small::default());
    *world.answer.borrow_mut() = br#"{"choices":[{"text":"hi"}],"none":null}"#.to_vec();
    ran(
        "local res = wharf.http.post('https://api.llm.example/v1?x=1', {
            headers = { Authorization = 'Bearer ' .. wharf.secret('llm'), ['X-N'] = 1 },
            json = { model = 'small', list = { 1, 2 } }, timeout = 20,
        })
        print(res.status, res.headers['content-type'], res.json.choices[1].text, res.json == res.json, #res.body)
        wharf.http.put('http://a.example/', { form = { a = 'b c', n = 1 } })
        wharf.http.delete('http://a.example/', { body = 'x' })
        wharf.http.get('http://a.example/')",
        &world,
    )
    .await
    .unwrap();
    assert_eq!(world.lines.take()[0].text, "201\tapplication/json\thi\ttrue\t39");
    let calls = world.calls.take();
    let header = |at: usize, name: &str| {
        let found = calls[at].1.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value.as_str())
    };
    assert_eq!(calls[0].0, Method::POST);
    assert_eq!(calls[0].1.url, "https://api.llm.example/v1?x=1");
    assert_eq!((header(0, "authorization"), header(0, "x-n")), ("Bearer geheim", "1"));
    assert_eq!(header(0, "content-type"), "application/json");
    assert_eq!(calls[0].1.body, r#"{"list":[1,2],"model":"small"}"#);
    assert_eq!(calls[0].1.timeout, Duration::from_secs(20));
    assert_eq!(calls[1].1.body, "a=b+c&n=1");
    assert_eq!(calls[2].1.body, "x");
    assert_eq!(header(3, "idempotency-key"), "", "a GET needs none");
    let keys: Vec<_> = (0..3).map(|at| header(at, "idempotency-key").to_owned()).collect();
    assert!(
        keys.iter().all(|key| key.len() == 32) && keys[0] != keys[1] && keys[1] != keys[2],
        "{keys:?}"
    );
    ran("wharf.http.post('https://api.llm.example/other')", &world)
        .await
        .unwrap();
    let again = &world.calls.borrow()[0].1.headers;
    assert!(
        again.contains(&("idempotency-key".to_owned(), keys[0].clone())),
        "a repeated run has the same"
    );
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_no_call_is_refused_before_anything_is_sent() {
    let world = Rc::new(Small::default());
    for (call, words) in [
        ("get('not an address')", "the address must be one such as"),
        (
            "post('http://a/', { json = {}, body = 'x' })",
            "one of json, form and body",
        ),
        (
            "post('http://a/', { heders = {} })",
            "no option 'heders'; did you mean 'headers'?",
        ),
        (
            "post('http://a/', { headers = { Host = 'b' } })",
            "the header 'host' is made by the program",
        ),
        (
            "post('http://a/', { json = { wharf.secret('llm') } })",
            "a secret is not put into JSON",
        ),
    ] {
        let fault = ran(&format!("wharf.http.{call}"), &world).await.unwrap_err();
        assert!(fault.message.contains(words), "{call}: {}", fault.message);
    }
    assert!(world.calls.take().is_empty());
    let fault = ran("for _ = 1, 65 do wharf.http.get('http://a/') end", &world)
        .await
        .unwrap_err();
    assert_eq!(fault.message, "more than 64 calls of http in one run");
}

#[test]
fn a_plugin_calls_only_the_hosts_that_it_declares() {
    let declared = crate::script::permissions::Declared {
        http: vec!["api.example".into(), "*.llm.example".into()],
        ..Default::default()
    };
    let may = Permissions::Declared(declared);
    assert!(may.http("api.example") && may.http("API.example") && may.http("eu.llm.example"));
    assert!(!may.http("llm.example") && !may.http("evilllm.example") && !may.http("api.example.evil"));
}
