//! The page room: real browsers, the real library, the simulator as WhatsApp, and pages of the test's own.

mod browser;
mod recorder;
mod rig;
mod stranger;

use std::path::Path;

use wharf::page::{Error, Library};

#[test]
fn a_library_that_is_missing_or_something_else_is_refused_with_its_path_and_the_command_that_gets_it() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("wppconnect-wa.js");
    let error = Library::read(&missing).unwrap_err();
    assert!(matches!(error, Error::LibraryMissing { .. }), "{error:?}");
    names(&error, &missing);

    std::fs::write(&missing, "<html>proxy error</html>").unwrap();
    let error = Library::read(&missing).unwrap_err();
    assert!(matches!(error, Error::NotTheLibrary { .. }), "{error:?}");
    names(&error, &missing);

    let error = Library::read(folder.path()).unwrap_err();
    names(&error, folder.path());
}

fn names(error: &Error, path: &Path) {
    let text = error.to_string();
    assert!(
        text.contains("npm ci") && text.contains(&path.display().to_string()),
        "{text}"
    );
}

#[test]
fn the_pinned_library_is_read_and_known_by_its_hash() {
    let library = Library::read(&rig::library_path()).unwrap();
    assert_eq!(
        library.sha256(),
        "5bfb88027f14a4d8c9e319374e8bb4083201906881cf8c74f75789b32e4106bd"
    );
}
