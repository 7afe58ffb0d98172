//! Positions of scripts: what several batches say is finished is added up.

use futures::future::join_all;
use wharf::store::{Batch, Position};

use super::open;

#[tokio::test]
async fn runs_that_end_at_the_same_time_do_not_undo_what_another_one_has_finished() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let at = |position: Position| Batch {
        positions: vec![("bot".to_owned(), position)],
        ..Batch::default()
    };
    store.commit(at(Position::start(5))).await.unwrap();
    // None of them knows of the others; all but one are finished.
    let runs = (5..205).filter(|offset| *offset != 100).map(|offset| {
        let mut position = Position::start(5);
        position.finish(offset);
        store.commit(at(position))
    });
    assert!(join_all(runs).await.iter().all(Result::is_ok));
    let mut expected = Position::start(100);
    expected.finish_range(101, 205);
    assert_eq!(store.position("bot").await.unwrap(), Some(expected.clone()));
    // What was finished is not taken back.
    store.commit(at(Position::start(50))).await.unwrap();
    assert_eq!(store.position("bot").await.unwrap(), Some(expected));
    store.commit(at(Position::start(101))).await.unwrap();
    assert_eq!(store.position("bot").await.unwrap(), Some(Position::start(205)));
}
