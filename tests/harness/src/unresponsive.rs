//! A file system that does not respond, as a network file system whose server is away.
//!
//! It is one of the kernel's whose other half is a program that never answers. To mount it needs permissions that a
//! container may lack.

use std::ffi::CString;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// A folder in which every access blocks until this is dropped, as when the server is reachable again: then the folder
/// has its earlier contents.
#[derive(Debug)]
pub struct Unresponsive {
    folder: PathBuf,
    device: Option<OwnedFd>,
}

impl Unresponsive {
    /// Mounts it over `folder`; `None` where that is not permitted, which is printed.
    ///
    /// # Panics
    /// When `folder` has a zero byte in its path.
    pub fn over(folder: &Path) -> Option<Unresponsive> {
        let device = rustix::fs::open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
        let mounted = device.and_then(|device| {
            let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
            let options = CString::new(options).expect("no zero byte");
            mount("unresponsive", folder, "fuse", MountFlags::NODEV, Some(options.as_c_str()))?;
            Ok(Unresponsive { folder: folder.to_owned(), device: Some(device) })
        });
        mounted.inspect_err(|error| println!("SKIPPED: cannot mount over {}: {error}", folder.display())).ok()
    }
}

impl Drop for Unresponsive {
    fn drop(&mut self) {
        // First, because it ends what is blocked.
        drop(self.device.take());
        unmount(&self.folder, UnmountFlags::DETACH).expect("it is mounted");
    }
}
