//! A `config.toml` of any content is read whole or refused with its place; no secret is in what is said of it.

use std::cell::RefCell;
use std::io::{Seek as _, Write as _};

use wharf::config::Sources;

thread_local! {
    static FILE: RefCell<tempfile::NamedTempFile> = RefCell::new(tempfile::NamedTempFile::new().expect("a file"));
}

/// Reads the bytes as a configuration file.
pub(crate) fn run(data: &[u8]) {
    FILE.with_borrow_mut(|file| {
        file.as_file().set_len(0).expect("it can be emptied");
        file.rewind().expect("it has a beginning");
        file.write_all(data).expect("it can be written");
        let sources = Sources {
            file: Some(file.path().to_owned()),
            ..Sources::default()
        };
        match sources.load() {
            Ok(config) => {
                // What is in force can be compared with itself, as at each reload.
                assert!(config.differs_from(&config.clone()).is_empty());
                for secret in config.secrets.values() {
                    // A short one may be a part of anything.
                    let text = secret.reveal();
                    assert!(
                        text.len() < 12 || !format!("{:?}", config.secrets).contains(text),
                        "a secret is printed"
                    );
                }
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}
