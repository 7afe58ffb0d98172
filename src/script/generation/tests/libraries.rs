//! What a script requires.

use super::*;
use crate::script::library::Library;

fn load_with(text: &str, libraries: &[(&str, &str)]) -> (Result<Generation, LoadError>, Rc<Small>) {
    let world = Rc::new(Small::default());
    let libraries = libraries.iter().map(|(path, text)| {
        let library = Library {
            file: format!("scripts/{path}.lua"),
            text: (*text).into(),
        };
        ((*path).into(), Ok(library))
    });
    let source = Source {
        name: "bot".into(),
        file: "scripts/bot.lua".into(),
        text: text.into(),
        libraries: libraries.collect(),
    };
    (load(&source, setup(&world)), world)
}

#[tokio::test(flavor = "current_thread")]
async fn a_library_is_run_once_and_what_it_returns_is_shared() {
    let (generation, world) = load_with(
        "local a, b = require('./lib/a'), require('./lib/b')
        wharf.on('message', function() print(a.n, b.same == a, require('./lib/a') == a) a.shout() end)",
        &[
            (
                "lib/a",
                "print('run') return { n = 7, shout = function() print('loud') end }",
            ),
            ("lib/b", "return { same = require('./lib/a') }"),
        ],
    );
    generation
        .unwrap()
        .run(&message("x"), false, Place::free())
        .await
        .unwrap();
    let texts: Vec<_> = world.lines.take().into_iter().map(|line| line.text).collect();
    assert_eq!(texts, ["run", "7\ttrue\ttrue", "loud"]);
}

#[test]
fn files_that_require_each_other_are_refused_with_the_circle() {
    let (refused, _) = load_with(
        "require('./lib/a') wharf.on('message', print)",
        &[("lib/a", "require('./lib/b')"), ("lib/b", "\nrequire('./lib/a')")],
    );
    let error = refused.err().unwrap();
    assert_eq!(error.line, Some(1), "{error:?}");
    assert!(
        error
            .message
            .ends_with("scripts/lib/b.lua:2: require: these require each other: ./lib/a > ./lib/b > ./lib/a"),
        "{}",
        error.message
    );
}

#[test]
fn a_mistake_in_a_library_names_its_file_and_line() {
    for (text, words) in [
        (
            "local x = nil\nreturn x.y",
            "scripts/lib/a.lua:2: attempt to index nil with 'y'",
        ),
        ("\nlocal = 1", "scripts/lib/a.lua:2: "),
    ] {
        let (refused, _) = load_with("\nrequire('./lib/a')", &[("lib/a", text)]);
        let error = refused.err().unwrap();
        assert_eq!(error.line, Some(2), "{error:?}");
        assert!(error.message.contains(words), "{}", error.message);
    }
    let (refused, _) = load_with("require('./lib/a')", &[("lib/a", "while true do end")]);
    assert!(refused.err().unwrap().message.contains("the top level takes more than"));
}

#[test]
fn what_was_not_read_with_the_script_cannot_be_required() {
    for (call, words) in [
        (
            "require('../x')",
            "require: '../x' is not a path below the script's own folder",
        ),
        ("require('./lib/' .. 'x')", "require: the path must be written out"),
        ("require('string')", "is not a path below"),
    ] {
        let (refused, _) = load_with(call, &[]);
        let message = refused.err().unwrap().message;
        assert!(message.contains(words), "{call}: {message}");
    }
}
