//! Backups: made while the store works, restored elsewhere, refused when they are not whole.

use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};
use wharf::config::Secret;
use wharf::store::backup::{self, Extra};
use wharf::store::{Batch, Error, Store};

use super::{CACHE, message, open, post, set, value};

fn extra(passphrase: Option<&str>) -> Extra {
    Extra {
        folders: Vec::new(),
        passphrase: passphrase.map(|text| Secret::new(text.to_owned())),
    }
}

/// What is in a gzipped file; `None` if that cannot be told.
fn unpacked(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut content).ok()?;
    Some(content)
}

/// One commit: an event, a count in kv, a post.
async fn write(store: &Store, n: i64) {
    let batch = Batch {
        events: vec![message("a", &format!("M{n}"), n)],
        kv: vec![set("count", &n.to_string())],
        posts: vec![post("e", n.to_string().as_bytes())],
        ..Batch::default()
    };
    store.commit(batch).await.unwrap();
}

/// Opens what was restored, and says at which commit the backup was made; every table must agree.
async fn check(dir: &Path) -> i64 {
    let store = open(dir);
    let count: i64 = value(&store, "count").await.unwrap().parse().unwrap();
    let mut events = Vec::new();
    while let Some(from) = u64::try_from(events.len())
        .ok()
        .filter(|from| *from < *store.head().borrow())
    {
        events.extend(store.events(from, 1000).await.unwrap());
    }
    let posts = store.deliveries(100_000).await.unwrap();
    assert_eq!(
        (events.len(), posts.len()),
        (count.try_into().unwrap(), count.try_into().unwrap())
    );
    for (n, (post, (offset, event))) in posts.iter().zip(&events).enumerate() {
        let n = n as u64;
        assert_eq!((*offset, event.seq, post.sequence), (n, n + 1, n + 1));
        assert!(store.delivery_body(&post.body).await.unwrap().is_some());
    }
    // It goes on counting.
    write(&store, count + 1).await;
    store.close().await.unwrap();
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_made_under_load_is_the_store_as_it_was_at_one_commit() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(&dir.path().join("data"));
    for n in 1..=1500 {
        write(&store, n).await;
    }
    let writer = {
        let store = store.clone();
        tokio_util::task::TaskTracker::new().spawn(async move {
            for n in 1501.. {
                if store.health().down.is_some() {
                    return n;
                }
                let batch = Batch {
                    events: vec![message("a", &format!("M{n}"), n)],
                    kv: vec![set("count", &n.to_string())],
                    posts: vec![post("e", n.to_string().as_bytes())],
                    ..Batch::default()
                };
                if store.commit(batch).await.is_err() {
                    return n;
                }
            }
            0
        })
    };
    let file = dir.path().join("backup");
    let mut counts = Vec::new();
    for round in 0..3 {
        let made = store.backup(&file, extra(None)).await.unwrap();
        assert_eq!(backup::verify(&file, None).unwrap(), made);
        let data = elsewhere.path().join(round.to_string());
        assert_eq!(backup::restore(&file, &data, None, CACHE).unwrap(), made);
        counts.push(check(&data).await);
    }
    store.close().await.unwrap();
    let last = writer.await.unwrap();
    assert!(
        1500 <= counts[0] && counts.is_sorted() && counts[2] < last,
        "{counts:?} of {last}: the load went on meanwhile"
    );
}

#[tokio::test]
async fn an_encrypted_backup_opens_with_its_passphrase_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("data"));
    write(&store, 1).await;
    let file = dir.path().join("backup");
    store.backup(&file, extra(Some("correct horse"))).await.unwrap();
    store.close().await.unwrap();
    assert!(std::fs::read(&file).unwrap().starts_with(b"age-encryption.org/v1"));
    for (passphrase, says) in [(None, "it is encrypted"), (Some("battery"), "the passphrase is not")] {
        let passphrase = passphrase.map(|text: &str| Secret::new(text.to_owned()));
        let refused = backup::restore(&file, &dir.path().join("other"), passphrase.as_ref(), CACHE).unwrap_err();
        assert!(refused.to_string().contains(says), "{refused}");
        assert!(!dir.path().join("other/store").exists());
    }
    let passphrase = Secret::new("correct horse".to_owned());
    backup::restore(&file, &dir.path().join("other"), Some(&passphrase), CACHE).unwrap();
    assert_eq!(check(&dir.path().join("other")).await, 1);
}

#[tokio::test]
async fn files_come_back_where_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("data"));
    write(&store, 1).await;
    let data = dir.path().join("data");
    for (name, text) in [
        ("media/abc", "a picture"),
        ("profiles/01X/Default/IndexedDB/1", "a login"),
    ] {
        std::fs::create_dir_all(data.join(name).parent().unwrap()).unwrap();
        std::fs::write(data.join(name), text).unwrap();
    }
    let folders = vec![
        ("media".to_owned(), data.join("media")),
        ("profiles/01X".to_owned(), data.join("profiles/01X")),
        ("profiles/01Y".to_owned(), data.join("profiles/01Y")),
    ];
    let file = dir.path().join("backup");
    let made = store
        .backup(
            &file,
            Extra {
                folders,
                passphrase: None,
            },
        )
        .await
        .unwrap();
    store.close().await.unwrap();
    assert_eq!(made.files, 2);
    let other = dir.path().join("other");
    backup::restore(&file, &other, None, CACHE).unwrap();
    let text = |name: &str| std::fs::read_to_string(other.join(name)).ok();
    assert_eq!(text("media/abc").as_deref(), Some("a picture"));
    assert_eq!(text("profiles/01X/Default/IndexedDB/1").as_deref(), Some("a login"));
}

#[tokio::test]
async fn a_backup_that_is_damaged_anywhere_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("data"));
    for n in 1..50 {
        write(&store, n).await;
    }
    let file = dir.path().join("backup");
    // A picture, which does not get smaller: its bytes lie in the backup as they are, and no row speaks for them.
    let media = dir.path().join("media");
    std::fs::create_dir(&media).unwrap();
    let noise: Vec<u8> = (0..200_u32).flat_map(|n| Sha256::digest(n.to_le_bytes())).collect();
    std::fs::write(media.join("picture"), noise).unwrap();
    let with_media = Extra {
        folders: vec![("media".to_owned(), media)],
        passphrase: None,
    };
    store.backup(&file, with_media).await.unwrap();
    store.close().await.unwrap();
    let whole = std::fs::read(&file).unwrap();
    let content = unpacked(&whole);
    assert!(content.is_some());
    let other = dir.path().join("other");
    let damaged = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        let refused = backup::restore(&file, &other, None, CACHE);
        let changed = bytes.iter().zip(&whole).position(|(now, was)| now != was);
        assert!(
            !other.exists(),
            "changed at {changed:?} of {}: {refused:?}",
            bytes.len()
        );
        refused
    };
    for cut in [0, 1, 100, whole.len() / 2, whole.len() - 9, whole.len() - 1] {
        assert!(
            matches!(damaged(&whole[..cut]), Err(Error::Backup { .. })),
            "cut at {cut}"
        );
    }
    for at in (12..whole.len() - 8).step_by(whole.len() / 60) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        // Zeros that are copied from other zeros: such a bit changes nothing of what is in it.
        if unpacked(&bytes) != content {
            assert!(damaged(&bytes).is_err(), "a bit flipped at {at}");
        }
    }
    damaged(b"hello").unwrap_err();
    std::fs::write(&file, &whole).unwrap();
    backup::restore(&file, &other, None, CACHE).unwrap();
    assert!(other.join("media/picture").exists());
    let again = backup::restore(&file, &other, None, CACHE).unwrap_err();
    assert!(again.to_string().contains("there is a store in"), "{again}");
}

#[tokio::test]
async fn a_second_backup_beside_one_is_refused_and_one_that_was_left_holds_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("data"));
    for n in 1..200 {
        write(&store, n).await;
    }
    let (one, other) = (dir.path().join("one"), dir.path().join("other"));
    let (first, second) = tokio::join!(store.backup(&one, extra(None)), store.backup(&other, extra(None)));
    assert!(first.is_ok());
    assert!(matches!(second, Err(Error::Busy { .. })), "{second:?}");
    store.backup(&other, extra(None)).await.unwrap();
    store.close().await.unwrap();
}
