//! Errors of the language come with plain words: its own phrases, as it really says them.

use super::*;

#[tokio::test(flavor = "current_thread")]
async fn what_the_language_says_comes_with_what_to_do_and_the_name_that_is_meant() {
    let world = Rc::new(Small::default());
    for (case, says, advice) in [
        (
            "local order = {} return order.item.price",
            "attempt to index nil with 'price'",
            "`order.item` is nil, so it has no 'price'; check it first, as in `if order.item then`",
        ),
        (
            "local a, b = {} return a.x.y + b.x.y",
            "attempt to index nil with 'y'",
            "what stands before `y` is nil, so it has no 'y'; check it first, as in `if it then`",
        ),
        (
            "local n = 1 return n.x",
            "attempt to index number with 'x'",
            "`n` is a number, so it has no 'x'",
        ),
        (
            "sendd('x')",
            "attempt to call a nil value",
            "there is no function `sendd`; is its name spelled right, and is it defined above this line?",
        ),
        (
            "local t = {} t('x')",
            "attempt to call a table value",
            "`t` is a table, not a function",
        ),
        (
            "local s = 'x' return s:uper()",
            "attempt to call missing method 'uper' of string",
            "a string has no method 'uper'; is its name spelled right?",
        ),
        (
            "local n return 1 < n",
            "attempt to compare number < nil",
            "one side is nil, and what is not there cannot be compared; give it a value first, as in `(x or 0)`",
        ),
        (
            "return '1' < 2",
            "attempt to compare string < number",
            "a text and a number cannot be compared; `tonumber(text)` makes a number of a text",
        ),
        (
            "local t = {} return t.n + 1",
            "attempt to perform arithmetic (add) on nil and number",
            "`t.n` is nil; give it a value first, as in `(t.n or 0)`",
        ),
        (
            "local a = {} return 2 * a",
            "attempt to perform arithmetic (mul) on number and table",
            "`a` is a table, with which nothing can be computed",
        ),
        (
            "local name return 'dear ' .. name",
            "attempt to concatenate string with nil",
            "`name` is nil; give it a value first, as in `(name or \"\")`",
        ),
        (
            "return 'x' .. msg.caption .. 'y'",
            "attempt to concatenate nil with string",
            "one side of `..` is nil; give it a value first, as in `(x or \"\")`",
        ),
        (
            "return 'x' .. {}",
            "attempt to concatenate string with table",
            "one side of `..` is a table; `tostring(x)` makes a text of it",
        ),
        (
            "local list return #list",
            "attempt to get length of a nil value",
            "`list` is nil, so it has no length",
        ),
        (
            "local list for _ in list do end",
            "attempt to iterate over a nil value",
            "`list` is nil, so there is nothing to go through",
        ),
        (
            "string.x = 1",
            "attempt to modify a readonly table",
            "libraries, `wharf`, events and settings cannot be changed; change a copy: `table.clone(t)`",
        ),
        (
            "local k local t = {} t[k] = 1",
            "table index is nil",
            "the key between the brackets is nil",
        ),
        (
            "string.rep(nil, 2)",
            "invalid argument #1 to 'rep' (string expected, got nil)",
            "that argument is nil; a misspelled variable is nil as well",
        ),
        (
            "error({ code = 7 })",
            "raised a table, which has no text",
            "give `error` a text, as in `error(\"there is no price for \" .. name)`",
        ),
    ] {
        let fault = ran(case, &world).await.unwrap_err();
        assert_eq!(fault.message, says, "{case}");
        assert_eq!(fault.advice.as_deref(), Some(advice), "{case}");
        assert_eq!(fault.line, Some(2), "{case}");
        assert_eq!(
            fault.excerpt,
            format!("     1 | wharf.on('message', function(msg)\n>    2 | {case}\n     3 | end)")
        );
    }
    assert_eq!(ran("error('no price')", &world).await.unwrap_err().advice, None);
}
