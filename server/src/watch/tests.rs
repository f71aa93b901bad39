//! The watch as its callers use it, on real files.

use std::cell::{Cell, RefCell};
use std::fs;
use std::os::unix::fs::symlink;
use std::pin::pin;
use std::time::Instant;

use tempfile::TempDir;

use super::*;

const SOON: Duration = Duration::from_secs(5);

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn write(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, text).expect("a written file");
    path
}

fn watch<const N: usize>(files: [PathBuf; N]) -> Watch {
    Watch::new(move || files.to_vec()).expect("a watch")
}

/// Asserts that the change is reported to a caller that waits: one that looks afterwards notices it in any case.
async fn is_reported(watch: &mut Watch, change: impl FnOnce()) {
    let mut reported = pin!(watch.changed());
    assert!(timeout(SETTLE_INTERVAL, &mut reported).await.is_err(), "reported before anything has changed");
    change();
    timeout(SOON, reported).await.expect("the change is reported");
}

#[tokio::test]
async fn a_file_written_again_and_again_is_reported_each_time() {
    let folder = folder();
    let file = write(&folder, "a", "1");
    let mut watch = watch([file.clone()]);
    for text in ["22", "333"] {
        is_reported(&mut watch, || fs::write(&file, text).expect("written")).await;
    }
}

#[tokio::test]
async fn a_file_that_takes_the_others_place_is_reported_and_watched_further() {
    let folder = folder();
    let file = write(&folder, "a", "1");
    let mut watch = watch([file.clone()]);
    for text in ["2", "3"] {
        is_reported(&mut watch, || fs::rename(write(&folder, "a.new", text), &file).expect("renamed")).await;
    }
    is_reported(&mut watch, || fs::remove_file(&file).expect("removed")).await;
    is_reported(&mut watch, || fs::write(&file, "4").expect("written")).await;
}

// As Kubernetes changes the files of a ConfigMap or Secret: a -> ..data/a, ..data -> ..1.
#[tokio::test]
async fn a_replaced_link_above_the_file_is_reported_and_its_target_is_watched() {
    let folder = folder();
    let replace = |to: &str| {
        let (fresh, link) = (folder.path().join("..data_tmp"), folder.path().join("..data"));
        symlink(to, &fresh).expect("a link");
        fs::rename(fresh, link).expect("the link is replaced");
    };
    for version in ["..1", "..2", "..3"] {
        fs::create_dir(folder.path().join(version)).expect("a folder");
        write(&folder, &format!("{version}/a"), "same");
    }
    replace("..1");
    let file = folder.path().join("a");
    symlink("..data/a", &file).expect("a link");
    let mut watch = watch([file]);
    is_reported(&mut watch, || replace("..2")).await;
    let next = || {
        replace("..3");
        fs::remove_dir_all(folder.path().join("..2")).expect("removed");
    };
    is_reported(&mut watch, next).await;
    is_reported(&mut watch, || drop(write(&folder, "..3/a", "edited in place"))).await;
}

// A common way to install releases: config.toml -> current/config.toml, current -> 1, each folder elsewhere.
#[tokio::test]
async fn a_replaced_link_on_the_way_to_another_is_reported() {
    let folder = folder();
    for inside in ["etc", "srv/1", "srv/2"] {
        fs::create_dir_all(folder.path().join(inside)).expect("a folder");
    }
    write(&folder, "srv/1/a", "1");
    write(&folder, "srv/2/a", "2");
    let replace = |to: &str| {
        let (fresh, link) = (folder.path().join("srv/new"), folder.path().join("srv/current"));
        symlink(to, &fresh).expect("a link");
        fs::rename(fresh, link).expect("the link is replaced");
    };
    replace("1");
    let file = folder.path().join("etc/a");
    symlink("../srv/current/a", &file).expect("a link");
    let mut watch = watch([file]);
    for to in ["2", "1"] {
        is_reported(&mut watch, || replace(to)).await;
    }
    is_reported(&mut watch, || drop(write(&folder, "srv/1/a", "edited in place"))).await;
}

#[tokio::test]
async fn a_link_without_a_target_or_to_itself_is_tolerated() {
    let folder = folder();
    let (file, circle) = (folder.path().join("a"), folder.path().join("circle"));
    fs::create_dir(folder.path().join("other")).expect("a folder");
    symlink("other/a", &file).expect("a link");
    symlink("circle", &circle).expect("a link");
    let mut watch = watch([file, circle.join("b")]);
    is_reported(&mut watch, || drop(write(&folder, "other/a", "there"))).await;
    let mended = || {
        fs::remove_file(&circle).expect("removed");
        fs::create_dir(&circle).expect("a folder");
        write(&folder, "circle/b", "there");
    };
    is_reported(&mut watch, mended).await;
}

#[tokio::test]
async fn a_folder_that_comes_first_is_watched_for_the_file_that_comes_later() {
    let folder = folder();
    let file = folder.path().join("one/two/three/a");
    let mut watch = watch([file.clone()]);
    let steps = async {
        for step in ["one", "one/two", "one/two/three"] {
            // Long enough to notice it, though nothing is reported before there is a file.
            sleep(SETTLE_INTERVAL).await;
            fs::create_dir(folder.path().join(step)).expect("a folder");
        }
        sleep(SETTLE_INTERVAL).await;
        fs::write(file, "there").expect("written");
    };
    let (reported, ()) = tokio::join!(timeout(SOON, watch.changed()), steps);
    reported.expect("the file is reported");
}

#[tokio::test]
async fn a_folder_that_cannot_be_watched_is_logged_once_and_one_that_is_missing_is_not() {
    let folder = folder();
    let circle = folder.path().join("circle");
    symlink("circle", &circle).expect("a link");
    let problem = |watch: &Watch| watch.watched_files.try_lock().expect("unused").unlogged_problem.take();
    assert_eq!(problem(&watch([folder.path().join("missing/folder/b")])), None);
    let watch = watch([circle.join("b")]);
    let text = problem(&watch).expect("a problem");
    assert!(text.starts_with(&format!("Cannot watch {}: Too many", circle.display())), "{text}");
    assert!(!text.ends_with(['.', ']']), "a clause of a longer sentence: {text}");
    watch.with_files(WatchedFiles::arm).await;
    assert_eq!(problem(&watch), None, "once is enough");
}

/// How many looks it takes until results in this order have settled.
async fn looks(mut results: impl Iterator<Item = u32> + Send) -> u32 {
    let looks = Cell::new(0);
    let results = RefCell::new(&mut results);
    settled(|| {
        looks.set(looks.get() + 1);
        std::future::ready(results.borrow_mut().next())
    })
    .await;
    looks.get()
}

#[tokio::test]
async fn a_change_is_reported_a_moment_after_its_end_and_after_a_while_if_there_is_none() {
    assert_eq!(looks(std::iter::repeat(1)).await, 2, "written at once");
    assert_eq!(looks([1, 2, 3, 3, 4].into_iter()).await, 4, "written slowly");
    let since = Instant::now();
    assert_eq!(looks(0..).await, SETTLE_INTERVALS_MAX + 1, "written without end");
    assert!(
        since.elapsed() >= SETTLE_INTERVAL * SETTLE_INTERVALS_MAX
            && SETTLE_INTERVAL * SETTLE_INTERVALS_MAX < Duration::from_millis(800)
    );
}

#[tokio::test]
async fn a_folder_that_is_replaced_is_watched_further() {
    let folder = folder();
    fs::create_dir(folder.path().join("b")).expect("a folder");
    let file = write(&folder, "b/a", "1");
    let mut watch = watch([file.clone()]);
    let (b, old) = (folder.path().join("b"), folder.path().join("b.old"));
    is_reported(&mut watch, || fs::rename(&b, old).expect("renamed")).await;
    let replaced = || {
        fs::create_dir(&b).expect("a folder");
        write(&folder, "b/a", "2");
    };
    is_reported(&mut watch, replaced).await;
    is_reported(&mut watch, || fs::write(&file, "33").expect("written")).await;
}

#[tokio::test]
async fn a_file_that_the_list_gains_is_reported_and_watched() {
    let folder = folder();
    let (first, second) = (write(&folder, "a", "1"), folder.path().join("folder/b"));
    fs::create_dir(folder.path().join("folder")).expect("a folder");
    let (files, listed) = (vec![first.clone()], vec![first.clone(), second.clone()]);
    let has_both = first.clone();
    let list = move || {
        if fs::read(&has_both).is_ok_and(|text| text == b"22") { listed.clone() } else { files.clone() }
    };
    let mut watch = Watch::new(list).expect("a watch");
    is_reported(&mut watch, || fs::write(&first, "22").expect("written")).await;
    is_reported(&mut watch, || fs::write(&second, "1").expect("written")).await;
}

#[tokio::test]
async fn what_comes_into_a_watched_folder_is_reported() {
    let folder = folder();
    let mut watch = watch([folder.path().to_owned()]);
    is_reported(&mut watch, || drop(write(&folder, "new", ""))).await;
}

#[tokio::test]
async fn other_files_and_reading_are_not_reported() {
    let folder = folder();
    let file = write(&folder, "a", "1");
    let mut watch = watch([file.clone()]);
    write(&folder, "b", "1");
    fs::read(&file).expect("readable");
    fs::remove_file(folder.path().join("b")).expect("removed");
    // Long enough to compare the files, which is the subject here.
    assert!(timeout(SETTLE_INTERVAL * 4, watch.changed()).await.is_err());
}

#[tokio::test]
async fn a_retry_is_not_postponed_by_readings_for_other_reasons() {
    let mut retry = Retry::default();
    for _ in 0..50 {
        retry.after(Persistence::MayPass);
    }
    timeout(SOON, retry.due()).await.expect("the first retry comes after RETRY_PAUSE_MIN");
}
