//! Power cuts at many moments of three process lifetimes: the store opens and has all that was answered.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};

use super::disk::{Chance, Disk, Honoured, Model};
use super::log::{Log, Record};
use super::oracle::{self, Promised};
use super::recorder::{Bench, files_in};
use super::workload::CHILD;

/// Answers before the process is killed, or to each producer before it closes in order.
const LIVES: [&str; 3] = ["300", "40 each", "300"];
const MODELS: [Model; 4] = [Model::None, Model::Zeros, Model::Prefix, Model::Rand];
/// Images are tried so many at a time.
const TOGETHER: usize = 2;
/// As many of each model.
const IMAGES: usize = 160;

/// One recording for all tests of this file, where they share a process.
static RECORDED: LazyLock<(Bench, Log)> = LazyLock::new(|| {
    let bench = Bench::new();
    for (life, answers) in LIVES.iter().enumerate() {
        let (status, said) = bench.run(CHILD, &format!("{life} {answers}"));
        let killed = std::os::unix::process::ExitStatusExt::signal(&status) == Some(9);
        assert!(
            if answers.ends_with("each") {
                status.success()
            } else {
                killed
            },
            "{status}: {said}"
        );
    }
    let log = Log::read(&bench.log());
    (bench, log)
});

pub(crate) fn told<T: std::str::FromStr>(name: &str) -> Option<T> {
    #[allow(clippy::disallowed_methods, reason = "how a person asks for more than the usual")]
    std::env::var(name).ok()?.parse().ok()
}

pub(crate) fn seed() -> u64 {
    let seed = told("WHARF_POWERCUT_SEED").unwrap_or_else(|| getrandom::u64().unwrap());
    eprintln!("WHARF_POWERCUT_SEED={seed}");
    seed
}

/// Moments to cut at: half of them just after an answer, when most is at stake, some while the store is first made, the rest
/// anywhere; in order.
fn cuts(log: &Log, count: usize, chance: &mut Chance) -> Vec<usize> {
    let answers: Vec<usize> = (0..log.records.len())
        .filter(|at| matches!(log.records[*at], Record::Mark { .. }))
        .collect();
    let mut cuts: Vec<usize> = (0..count)
        .map(|n| match n % 8 {
            0..4 => answers[chance.below(answers.len())] + 1,
            4 => 1 + chance.below(answers[0]),
            _ => 1 + chance.below(log.records.len()),
        })
        .collect();
    cuts.sort_unstable();
    cuts
}

struct Image {
    model: Model,
    cut: usize,
    promised: Promised,
    folder: PathBuf,
}

/// Builds images and tries them; answers what was wrong with which, and how many answered commits were looked for in all.
fn try_images(honoured: Honoured, models: &[Model], count: usize, seed: u64) -> (Vec<String>, usize) {
    let (bench, log) = &*RECORDED;
    let mut chance = Chance::new(seed);
    let mut disk = Disk::new(log, honoured);
    let cuts = cuts(log, count.div_ceil(models.len()), &mut chance);
    let images = cuts
        .iter()
        .flat_map(|cut| models.iter().map(move |model| (*cut, *model)));
    let (images, wrong, looked) = (Mutex::new(images), Mutex::new(Vec::new()), AtomicUsize::new(0));
    let place = tempfile::tempdir().unwrap();
    let next = |disk: &mut Disk<'_>, chance: &mut Chance| {
        let (cut, model) = images.lock().unwrap().next()?;
        disk.go_to(cut);
        let folder = place.path().join(format!("{cut}-{model:?}-{}", chance.below(1 << 30)));
        disk.image(&bench.data(), &folder, model, chance);
        let promised = Promised::of(log.marks(cut));
        Some(Image {
            model,
            cut,
            promised,
            folder,
        })
    };
    let builder = Mutex::new((&mut disk, &mut chance));
    std::thread::scope(|scope| {
        for _ in 0..TOGETHER {
            scope.spawn(|| {
                loop {
                    let image = {
                        let mut builder = builder.lock().unwrap();
                        let (disk, chance) = &mut *builder;
                        next(disk, chance)
                    };
                    let Some(Image {
                        model,
                        cut,
                        promised,
                        folder,
                    }) = image
                    else {
                        return;
                    };
                    looked.fetch_add(promised.acks(), Ordering::Relaxed);
                    if let Err(why) = oracle::check(&folder, &promised) {
                        let at = log.records.len();
                        wrong.lock().unwrap().push(format!(
                            "{model:?} at {cut} of {at}, {} answered: {why}",
                            promised.acks()
                        ));
                    }
                    std::fs::remove_dir_all(&folder).unwrap();
                }
            });
        }
    });
    (wrong.into_inner().unwrap(), looked.into_inner())
}

#[test]
fn after_a_power_cut_at_any_moment_the_store_opens_with_all_that_was_answered() {
    let (images, seed) = (told("WHARF_POWERCUT_IMAGES").unwrap_or(IMAGES), seed());
    let (wrong, looked) = try_images(Honoured::All, &MODELS, images, seed);
    eprintln!("{images} images, {looked} answered commits looked for");
    if !wrong.is_empty() {
        let kept = std::env::temp_dir().join(format!("wharf-powercut-{seed}.log"));
        std::fs::copy(RECORDED.0.log(), &kept).unwrap();
        panic!(
            "{} of {images} images, the recording is {}:\n{}",
            wrong.len(),
            kept.display(),
            wrong.join("\n")
        );
    }
    assert!(looked > images * 50, "the cuts were all too early: {looked}");
}

/// The models would not show anything if what they take away were not needed.
#[test]
fn without_our_own_sync_of_the_log_the_same_cuts_lose_answered_commits() {
    let images = 16;
    let (wrong, _) = try_images(Honoured::WithoutDataSyncs, &[Model::None], images, seed());
    let lost = wrong.iter().filter(|why| why.contains("answered and is lost")).count();
    assert!(lost >= images / 4, "{lost} of {images} lost something: {wrong:#?}");
}

#[test]
fn without_the_sync_of_the_whole_folder_at_opening_the_same_cuts_leave_stores_that_do_not_open() {
    let images = 16;
    let (wrong, _) = try_images(Honoured::LogOnly, &[Model::Zeros], images, seed());
    let shut = wrong.iter().filter(|why| why.contains("does not open")).count();
    assert!(shut >= images / 2, "{shut} of {images} did not open: {wrong:#?}");
}

#[test]
fn values_and_bodies_of_the_largest_size_make_no_files_beside_the_log() {
    let (bench, log) = &*RECORDED;
    assert_eq!(files_in(&bench.data().join("store/blobs")), 0);
    let mut disk = Disk::new(log, Honoured::All);
    for cut in (0..log.records.len()).step_by(10) {
        disk.go_to(cut);
        let blob = disk
            .names()
            .find(|name| name.components().any(|part| part.as_os_str() == "blobs"));
        assert_eq!(blob, None);
    }
}
