//! Reaching `/proc` and `/dev` of a kernel that has nothing mounted yet, without anyone else seeing it.
//!
//! A detached mount is part of no tree: only its descriptor leads to it, it keeps nobody from unmounting, and it is gone
//! with the descriptor. Kernels before 5.2 have none: there PID 1 mounts in place for the time of a few calls, and keeps
//! the descriptor of the mount that it has detached again. Where neither is possible, because PID 1 lacks the right to
//! mount or an old kernel refuses a second mount in the same place, what is mounted already is used.

use core::ffi::CStr;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, PROC_SUPER_MAGIC, Stat, fstat, fstatfs, makedev, mkdir, open,
    openat, rmdir, statat, statfs,
};
use rustix::io::{Errno, read};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, UnmountFlags, fsconfig_create, fsmount, fsopen,
    mount, unmount,
};

use crate::sys::fds::keep;
use crate::sys::memory::Buffer;
use crate::sys::{At, failed};
use earlykmsg::config::cmdline::Cmdline;
use earlykmsg::error::{Result, Step};
use earlykmsg::limits::CMDLINE_BYTES;

/// The file systems in which the kernel shows itself. They stay open for as long as the process lives, or until
/// [`close_all_but`](crate::sys::fds::close_all_but) has closed them: after that nobody may use them.
#[derive(Clone, Copy)]
pub struct KernelFs {
    /// `/proc`
    pub proc: Option<BorrowedFd<'static>>,
    /// `/dev`
    pub dev: Option<BorrowedFd<'static>>,
}

/// How a directory is opened.
pub const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// How a device is opened: no call blocks on it, and a terminal does not become the controlling one.
const DEVICE: OFlags = OFlags::NONBLOCK.union(OFlags::CLOEXEC).union(OFlags::NOCTTY);

impl KernelFs {
    /// As PID 1: through mounts of our own, or else through what is mounted.
    pub fn for_pid1() -> KernelFs {
        let proc = own_mount(c"proc", c"/proc").or_else(|| open_mounted(c"/proc").filter(is_proc));
        let dev = own_mount(c"devtmpfs", c"/dev").or_else(|| open_mounted(c"/dev").filter(holds_kmsg));
        KernelFs::new(proc, dev)
    }

    fn new(proc: Option<OwnedFd>, dev: Option<OwnedFd>) -> KernelFs {
        KernelFs { proc: proc.map(keep), dev: dev.map(keep) }
    }

    /// As `--background`: through mounts that nobody else sees, or else through what is mounted.
    pub fn detached() -> KernelFs {
        let open = |kind, place| {
            let detached = detached_mount(kind, MountAttrFlags::empty()).ok();
            detached.or_else(|| open_mounted(place))
        };
        KernelFs::new(open(c"proc", c"/proc"), open(c"devtmpfs", c"/dev"))
    }

    /// As anyone else: through what is mounted.
    pub fn mounted() -> KernelFs {
        KernelFs::new(open_mounted(c"/proc"), open_mounted(c"/dev"))
    }

    /// Opens a file below `/proc`.
    pub fn open_proc(&self, path: &CStr, flags: OFlags) -> Result<OwnedFd> {
        let missing = failed(Step::ReachProc, Errno::NOENT);
        let directory = self.proc.ok_or(missing)?;
        openat(directory, path, flags | OFlags::CLOEXEC, Mode::empty()).at(Step::OpenBelowProc)
    }

    /// Reads the kernel's command line.
    pub fn read_cmdline(&self) -> Result<Cmdline<'static>> {
        // One byte more than is used shows whether there is more.
        static CMDLINE: Buffer<[u8; CMDLINE_BYTES + 1]> = Buffer::new([0; CMDLINE_BYTES + 1]);
        let file = self.open_proc(c"cmdline", OFlags::RDONLY)?;
        let Some(buffer) = CMDLINE.take() else { return Ok(Cmdline::default()) };
        let mut len = 0;
        while let Some(room) = buffer.get_mut(len..)
            && let Ok(more @ 1..) = read(&file, room)
        {
            len += more;
        }
        Ok(Cmdline::new(buffer.get(..len).unwrap_or_default()))
    }

    /// Opens the kernel's log with a position of its own: for reading, and, where that is allowed, for writing.
    pub fn open_kmsg(&self) -> Result<OwnedFd> {
        let mut error = Errno::NOENT;
        for (directory, path) in [(self.dev, c"kmsg"), (self.proc, c"1/root/dev/kmsg")] {
            let Some(directory) = directory else { continue };
            for access in [OFlags::RDWR, OFlags::RDONLY] {
                match openat(directory, path, access | DEVICE, Mode::empty()) {
                    Ok(fd) => return Ok(fd),
                    // Why a file that exists cannot be opened is the better error.
                    Err(Errno::NOENT) => {}
                    Err(errno) => error = errno,
                }
            }
        }
        Err(failed(Step::OpenKmsg, error))
    }

    /// Opens the console for writing that never blocks.
    pub fn open_console(&self) -> Option<OwnedFd> {
        let below = |directory, path| openat(directory, path, OFlags::WRONLY | DEVICE, Mode::empty()).ok();
        let own = self.dev.and_then(|dev| below(dev, c"console"));
        own.or_else(|| below(CWD, c"/dev/console"))
    }
}

/// Identifies a file: its file system and its inode there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileId {
    device: u64,
    inode: u64,
}

/// Which file a path leads to.
pub fn file_id(directory: BorrowedFd<'_>, path: &CStr) -> Option<FileId> {
    let stat = statat(directory, path, AtFlags::empty()).ok()?;
    Some(FileId { device: stat.st_dev, inode: stat.st_ino })
}

/// An empty directory that no one else sees; none on kernels that have no detached mounts.
pub fn empty_directory() -> Option<OwnedFd> {
    detached_mount(c"ramfs", MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV).ok()
}

/// `/sys`, through a mount of our own or as it is mounted.
pub fn sysfs() -> Option<OwnedFd> {
    let own = detached_mount(c"sysfs", MountAttrFlags::MOUNT_ATTR_RDONLY);
    own.or_else(|_| open(c"/sys", DIRECTORY, Mode::empty())).ok()
}

/// The kernel's configfs, through a mount of our own.
pub fn configfs() -> Option<OwnedFd> {
    detached_mount(c"configfs", MountAttrFlags::empty()).ok()
}

/// `pstore`, through a mount of our own or as it is mounted. `may_remove`: files will be removed.
pub fn pstore(may_remove: bool) -> rustix::io::Result<OwnedFd> {
    let more = if may_remove { MountAttrFlags::empty() } else { MountAttrFlags::MOUNT_ATTR_RDONLY };
    detached_mount(c"pstore", more).or_else(|_| open(c"/sys/fs/pstore", DIRECTORY, Mode::empty()))
}

/// From the kernel's `magic.h`.
const RAMFS_MAGIC: i64 = 0x8584_58f6;
/// See `RAMFS_MAGIC`.
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// Whether the root file system is one that an initramfs has: a main system's root is on a disk or on the network.
pub fn is_initramfs() -> bool {
    statfs(c"/").is_ok_and(|root| [RAMFS_MAGIC, TMPFS_MAGIC].contains(&root.f_type))
}

fn own_mount(kind: &CStr, place: &CStr) -> Option<OwnedFd> {
    detached_mount(kind, MountAttrFlags::empty()).ok().or_else(|| in_place_mount(kind, place))
}

/// Opens a directory as it is mounted. That needs no permission to list it: whoever may use `/dev/kmsg` need not be able
/// to read all of `/dev`.
fn open_mounted(place: &CStr) -> Option<OwnedFd> {
    open(place, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()
}

fn is_proc(directory: &OwnedFd) -> bool {
    fstatfs(directory).is_ok_and(|stat| stat.f_type == PROC_SUPER_MAGIC)
}

/// Whether `kmsg` in this directory is the kernel's log, and not a file that an image keeps there.
fn holds_kmsg(directory: &OwnedFd) -> bool {
    statat(directory, c"kmsg", AtFlags::empty()).is_ok_and(|stat| is_kmsg(&stat))
}

/// Whether a descriptor is one of the kernel's log.
pub fn is_kernel_log(fd: BorrowedFd<'_>) -> bool {
    fstat(fd).is_ok_and(|stat| is_kmsg(&stat))
}

fn is_kmsg(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_char_device() && stat.st_rdev == makedev(1, 11)
}

fn detached_mount(kind: &CStr, more: MountAttrFlags) -> core::result::Result<OwnedFd, Errno> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC | more;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// Mounts at `place`, which is made if it is missing, opens it, and removes mount and place again.
fn in_place_mount(kind: &CStr, place: &CStr) -> Option<OwnedFd> {
    let made = mkdir(place, Mode::from_raw_mode(0o555)).is_ok();
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    let mounted = mount(kind, place, kind, flags, None);
    let directory = mounted.is_ok().then(|| open(place, DIRECTORY, Mode::empty()).ok()).flatten();
    if mounted.is_ok() {
        // Detached, it lives as long as the descriptor. If that fails, the mount stays, which harms no boot.
        let _ = unmount(place, UnmountFlags::DETACH);
    }
    if made {
        let _ = rmdir(place);
    }
    directory
}
