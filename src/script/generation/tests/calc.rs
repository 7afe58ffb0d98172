//! What computes and touches nothing: `crypto`, `time`.

use super::*;

async fn said(body: &str) -> String {
    lines(body).await.join("\n")
}

#[tokio::test(flavor = "current_thread")]
async fn digests_and_signatures_are_those_of_the_standards() {
    // FIPS 180-4's example, RFC 4231's second test case.
    assert_eq!(
        said("print(wharf.crypto.sha256('abc'))").await,
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    assert_eq!(
        said("print(wharf.crypto.hmac_sha256('Jefe', 'what do ya want for nothing?'))").await,
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
    assert_eq!(
        said("local c = wharf.crypto print(c.hex_encode(c.sha256('abc', 'raw')) == c.sha256('abc'), #c.sha256('abc', 'raw'))")
            .await,
        "true\t32"
    );
    assert_eq!(
        said("print(wharf.crypto.sha256('', 'base64'))").await,
        "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    );
}

#[tokio::test(flavor = "current_thread")]
async fn encodings_go_there_and_back_and_what_is_none_is_nil() {
    assert_eq!(
        said("local c = wharf.crypto
        print(c.base64_encode('\\255\\254?>'), c.base64_encode('\\255\\254?>', 'base64url'), c.base64_decode('aGk='))
        print(c.base64_decode('//4_Pg', 'base64url') == nil, c.base64_decode('__4_Pg', 'base64url') == '\\255\\254?>', c.base64_decode('!'))
        print(c.hex_encode('\\0\\255'), c.hex_decode('00FF') == '\\0\\255', c.hex_decode('0'), c.hex_decode('zz'))
        print(c.equal('a', 'a'), c.equal('a', 'b'), c.equal('a', 'ab'))")
            .await,
        "//4/Pg==\t__4_Pg\thi\ntrue\ttrue\tnil\n00ff\ttrue\tnil\tnil\ntrue\tfalse\tfalse"
    );
    let world = Rc::new(Small::default());
    let fault = ran("wharf.crypto.sha256('x', 'hexx')", &world).await.unwrap_err();
    assert_eq!(fault.message, "crypto.sha256: no encoding 'hexx'; did you mean 'hex'?");
}

#[tokio::test(flavor = "current_thread")]
async fn every_uuid_is_another_one_of_version_four() {
    assert_eq!(
        said(
            "local a, b = wharf.crypto.uuid(), wharf.crypto.uuid()
        print(a ~= b, #a, (a:match('^%x+%-%x+%-4%x+%-[89ab]%x+%-%x+$')) == a)"
        )
        .await,
        "true\t36\ttrue"
    );
}

#[tokio::test(flavor = "current_thread")]
async fn times_are_read_and_written_in_any_zone() {
    assert_eq!(
        said("local t = wharf.time
        print(t.parse('2026-07-01T09:30', { zone = 'Europe/Berlin' }).ms, t.parse('2026-07-01T09:30+02:00').hour)
        print(t.parse('2026-07-01').hour, t.parse('tomorrow'), t.parse('5.7.2026', { format = '%d.%m.%Y', zone = 'America/New_York' }).offset)
        print(t.parse('5.7.2026 8:05', { format = '%d.%m.%Y %H:%M' }).minute, t.parse('nonsense', { format = '%d' }))
        print(t.format(0), t.format(0, '%d.%m.%Y %H:%M', 'Europe/Berlin'), t.format(t.parse('2026-01-05T07:30', { zone = 'Europe/Berlin' }), '%H %Z'))
        print(t.at(0, 'Asia/Tokyo').hour, t.at(msg.timestamp).year)")
            .await,
        "1782891000000\t7\n0\tnil\t-14400\n5\tnil\n1970-01-01T00:00:00+00:00\t01.01.1970 01:00\t07 CET\n9\t2026"
    );
    let world = Rc::new(Small::default());
    let fault = ran("wharf.time.format(0, '%!')", &world).await.unwrap_err();
    assert!(fault.message.starts_with("time.format: the format: "), "{fault:?}");
    let fault = ran("wharf.time.parse('x', { zone = 'Mars' })", &world)
        .await
        .unwrap_err();
    assert!(fault.message.contains("there is no time zone 'Mars'"), "{fault:?}");
    assert!(ran("wharf.time.at(1e300)", &world).await.is_err());
}
