//! Backups of a host that does not run, and restoring, by the command line.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{NOWHERE, fill, held, text, wharf};
use crate::support::host::Home;

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_stopped_host_is_backed_up_and_restored_elsewhere_and_never_over_another() {
    let home = Home::new(NOWHERE, "");
    fill(&home.data(), 30).await;
    fs::create_dir(home.data().join("media")).unwrap();
    fs::write(home.data().join("media/abc"), "a picture").unwrap();
    let (file, elsewhere) = (home.path().join("wharf.backup"), home.path().join("elsewhere"));
    // One that was left half-written, and open to others, does not lend its mode.
    let half = home.path().join("wharf.backup.part");
    fs::write(&half, "half").unwrap();
    fs::set_permissions(&half, fs::Permissions::from_mode(0o644)).unwrap();

    let made = wharf(&home, &["backup", text(&file)]).fine();
    assert!(made.out.contains("and 1 files of 20"), "{made:?}");
    assert_eq!(mode(&file), 0o600);
    assert!(!half.exists());

    let restored = wharf(&home, &["restore", text(&file), "--data", text(&elsewhere)]).fine();
    assert!(restored.out.starts_with(text(&elsewhere)), "{restored:?}");
    assert_eq!((mode(&elsewhere), mode(&elsewhere.join("media/abc"))), (0o700, 0o600));
    assert_eq!(fs::read_to_string(elsewhere.join("media/abc")).unwrap(), "a picture");
    assert_eq!(held(&elsewhere).await, (30, 30, 30));

    fs::write(elsewhere.join("media/abc"), "newer").unwrap();
    let again = ["restore", text(&file), "--data", text(&elsewhere)];
    wharf(&home, &again).refused("there is a store in");
    assert_eq!(held(&elsewhere).await, (30, 30, 30));
    // With the store moved away, as the refusal says; what else is there is newer, and stays.
    fs::rename(elsewhere.join("store"), elsewhere.join("moved")).unwrap();
    wharf(&home, &again).fine();
    assert_eq!(held(&elsewhere).await, (30, 30, 30));
    assert_eq!(fs::read_to_string(elsewhere.join("media/abc")).unwrap(), "newer");
    assert!(!elsewhere.join("restored.part").exists());
}

#[tokio::test]
async fn an_encrypted_backup_wants_its_passphrase_and_what_cannot_be_restored_leaves_nothing() {
    let home = Home::new(NOWHERE, "[backup]\npassphrase = \"env:WHARF_TEST_PASSPHRASE\"\n");
    fill(&home.data(), 10).await;
    let (file, elsewhere) = (home.path().join("wharf.backup"), home.path().join("elsewhere"));
    let run = |arguments: &[&str], passphrase: &str| {
        let mut command = home.command(arguments);
        command.env("WHARF_TEST_PASSPHRASE", passphrase);
        super::Said::by(command)
    };
    run(&["backup", text(&file)], "correct horse").fine();
    let bytes = fs::read(&file).unwrap();
    assert!(bytes.starts_with(b"age-encryption.org/v1"));
    let restore = ["restore", text(&file), "--data", text(&elsewhere)];
    let wrong = run(&restore, "battery").refused("the passphrase is not that of the backup");
    assert!(!wrong.errors.contains("battery"));
    assert!(!elsewhere.exists());

    let secret = home.path().join("passphrase");
    fs::write(&secret, "correct horse\n").unwrap();
    let with_file = [&restore[..], &["--passphrase-file", text(&secret)]].concat();
    for cut in [bytes.len() / 2, bytes.len() - 1] {
        fs::write(&file, bytes.get(..cut).unwrap()).unwrap();
        run(&with_file, "battery").refused("cannot be used");
        assert!(!elsewhere.exists(), "cut at {cut}");
    }
    fs::write(&file, &bytes).unwrap();
    run(&with_file, "battery").fine();
    assert_eq!(held(&elsewhere).await, (10, 10, 10));
}

#[tokio::test]
async fn what_cannot_be_backed_up_is_said_and_leaves_no_file() {
    let home = Home::new(NOWHERE, "");
    let file = home.path().join("nowhere/wharf.backup");
    wharf(&home, &["backup", text(&file)]).refused("there is no store in");
    assert!(!home.data().exists());
    fill(&home.data(), 3).await;
    wharf(&home, &["backup", text(&file)]).refused("nowhere/wharf.backup.part");
    assert!(!file.exists());
    wharf(&home, &["restore", text(&file), "--data", text(&home.path().join("x"))]).refused("nowhere/wharf.backup");
}
