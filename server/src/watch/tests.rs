//! The watch as its callers see it, on real files.

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

/// The change is told, and to one who waits: one who looks only afterwards sees it in any case.
async fn is_told(watch: &mut Watch, change: impl FnOnce()) {
    let mut telling = pin!(watch.changed());
    assert!(timeout(SETTLE, &mut telling).await.is_err(), "told before anything has changed");
    change();
    timeout(SOON, telling).await.expect("the change is told");
}

#[tokio::test]
async fn a_file_written_again_and_again_is_told_each_time() {
    let folder = folder();
    let file = write(&folder, "a", "1");
    let mut watch = Watch::new([file.clone()]).expect("a watch");
    for text in ["22", "333"] {
        is_told(&mut watch, || fs::write(&file, text).expect("written")).await;
    }
}

#[tokio::test]
async fn a_file_that_takes_the_others_place_is_told_and_watched_further() {
    let folder = folder();
    let file = write(&folder, "a", "1");
    let mut watch = Watch::new([file.clone()]).expect("a watch");
    for text in ["2", "3"] {
        is_told(&mut watch, || fs::rename(write(&folder, "a.new", text), &file).expect("renamed")).await;
    }
    is_told(&mut watch, || fs::remove_file(&file).expect("removed")).await;
    is_told(&mut watch, || fs::write(&file, "4").expect("written")).await;
}

// As Kubernetes changes the files of a ConfigMap or Secret: a -> ..data/a, ..data -> ..1.
#[tokio::test]
async fn a_turned_link_above_the_file_is_told_and_what_it_leads_to_is_watched() {
    let folder = folder();
    let turn = |to: &str| {
        let (fresh, link) = (folder.path().join("..data_tmp"), folder.path().join("..data"));
        symlink(to, &fresh).expect("a link");
        fs::rename(fresh, link).expect("the link is turned");
    };
    for edition in ["..1", "..2", "..3"] {
        fs::create_dir(folder.path().join(edition)).expect("a folder");
        write(&folder, &format!("{edition}/a"), "same");
    }
    turn("..1");
    let file = folder.path().join("a");
    symlink("..data/a", &file).expect("a link");
    let mut watch = Watch::new([file]).expect("a watch");
    is_told(&mut watch, || turn("..2")).await;
    let next = || {
        turn("..3");
        fs::remove_dir_all(folder.path().join("..2")).expect("removed");
    };
    is_told(&mut watch, next).await;
    is_told(&mut watch, || drop(write(&folder, "..3/a", "edited in place"))).await;
}

// As many put releases in place: config.toml -> current/config.toml, current -> 1, each folder elsewhere.
#[tokio::test]
async fn a_turned_link_on_the_way_to_another_is_told() {
    let folder = folder();
    for inside in ["etc", "srv/1", "srv/2"] {
        fs::create_dir_all(folder.path().join(inside)).expect("a folder");
    }
    write(&folder, "srv/1/a", "1");
    write(&folder, "srv/2/a", "2");
    let turn = |to: &str| {
        let (fresh, link) = (folder.path().join("srv/new"), folder.path().join("srv/current"));
        symlink(to, &fresh).expect("a link");
        fs::rename(fresh, link).expect("the link is turned");
    };
    turn("1");
    let file = folder.path().join("etc/a");
    symlink("../srv/current/a", &file).expect("a link");
    let mut watch = Watch::new([file]).expect("a watch");
    for to in ["2", "1"] {
        is_told(&mut watch, || turn(to)).await;
    }
    is_told(&mut watch, || drop(write(&folder, "srv/1/a", "edited in place"))).await;
}

#[tokio::test]
async fn a_link_that_leads_nowhere_or_in_a_circle_is_no_obstacle() {
    let folder = folder();
    let (file, circle) = (folder.path().join("a"), folder.path().join("circle"));
    fs::create_dir(folder.path().join("other")).expect("a folder");
    symlink("other/a", &file).expect("a link");
    symlink("circle", &circle).expect("a link");
    let mut watch = Watch::new([file, circle.join("b")]).expect("a watch");
    is_told(&mut watch, || drop(write(&folder, "other/a", "there"))).await;
    let mended = || {
        fs::remove_file(&circle).expect("removed");
        fs::create_dir(&circle).expect("a folder");
        write(&folder, "circle/b", "there");
    };
    is_told(&mut watch, mended).await;
}

#[tokio::test]
async fn a_folder_that_comes_first_is_watched_for_the_file_that_comes_later() {
    let folder = folder();
    let file = folder.path().join("one/two/three/a");
    let mut watch = Watch::new([file.clone()]).expect("a watch");
    let steps = async {
        for step in ["one", "one/two", "one/two/three"] {
            // Long enough to notice it, though nobody is told before there is a file.
            sleep(SETTLE).await;
            fs::create_dir(folder.path().join(step)).expect("a folder");
        }
        sleep(SETTLE).await;
        fs::write(file, "there").expect("written");
    };
    let (told, ()) = tokio::join!(timeout(SOON, watch.changed()), steps);
    told.expect("the file is told");
}

#[tokio::test]
async fn a_folder_that_cannot_be_watched_is_complained_about_once_and_one_that_is_missing_is_not() {
    let folder = folder();
    let circle = folder.path().join("circle");
    symlink("circle", &circle).expect("a link");
    let mut watch = Watch::new([folder.path().join("missing/folder/b")]).expect("a watch");
    let complaint = |watch: &Watch| watch.watched_files.lock().complaint.take();
    assert_eq!(complaint(&watch), None);
    let file = circle.join("b");
    watch.look_at(move || vec![file]).await;
    let told = complaint(&watch).expect("a complaint");
    assert!(told.starts_with(&format!("Cannot watch {}: Too many", circle.display())), "{told}");
    assert!(!told.ends_with(['.', ']']), "a clause of a longer sentence: {told}");
    watch.have(WatchedFiles::arm).await;
    assert_eq!(complaint(&watch), None, "once is enough");
}

/// How many looks it takes until what is seen in this order has settled.
async fn looks(mut sights: impl Iterator<Item = u32> + Send) -> u32 {
    let looks = Cell::new(0);
    let sights = RefCell::new(&mut sights);
    settled(|| {
        looks.set(looks.get() + 1);
        std::future::ready(sights.borrow_mut().next())
    })
    .await;
    looks.get()
}

#[tokio::test]
async fn a_change_is_told_a_moment_after_its_end_and_after_a_while_if_there_is_none() {
    assert_eq!(looks(std::iter::repeat(1)).await, 2, "written at once");
    assert_eq!(looks([1, 2, 3, 3, 4].into_iter()).await, 4, "written slowly");
    let since = Instant::now();
    assert_eq!(looks(0..).await, MOMENTS + 1, "written without end");
    assert!(since.elapsed() >= SETTLE * MOMENTS && SETTLE * MOMENTS < Duration::from_millis(800));
}

#[tokio::test]
async fn a_folder_that_is_replaced_is_watched_further() {
    let folder = folder();
    fs::create_dir(folder.path().join("b")).expect("a folder");
    let file = write(&folder, "b/a", "1");
    let mut watch = Watch::new([file.clone()]).expect("a watch");
    let (b, old) = (folder.path().join("b"), folder.path().join("b.old"));
    is_told(&mut watch, || fs::rename(&b, old).expect("renamed")).await;
    let replaced = || {
        fs::create_dir(&b).expect("a folder");
        write(&folder, "b/a", "2");
    };
    is_told(&mut watch, replaced).await;
    is_told(&mut watch, || fs::write(&file, "33").expect("written")).await;
}

#[tokio::test]
async fn what_comes_into_a_watched_folder_is_told() {
    let folder = folder();
    let mut watch = Watch::new([folder.path().to_owned()]).expect("a watch");
    is_told(&mut watch, || drop(write(&folder, "new", ""))).await;
}

#[tokio::test]
async fn neighbours_and_reading_are_no_news() {
    let folder = folder();
    let file = write(&folder, "a", "1");
    let mut watch = Watch::new([file.clone()]).expect("a watch");
    write(&folder, "b", "1");
    fs::read(&file).expect("readable");
    fs::remove_file(folder.path().join("b")).expect("removed");
    // Long enough to look at what has happened, which is the subject here.
    assert!(timeout(SETTLE * 4, watch.changed()).await.is_err());
}
