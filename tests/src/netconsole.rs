//! The files of the kernel's netconsole, played by a folder: what is written to them can be read.

use std::fs;
use std::path::{Path, PathBuf};

/// What a target is told.
const VALUES: [&str; 7] =
    ["extended", "dev_name", "local_ip", "remote_ip", "remote_port", "remote_mac", "enabled"];

/// A folder where configfs would be, with a target whose values can be written.
#[derive(Debug)]
pub struct Driver {
    target: PathBuf,
}

impl Driver {
    /// In an image.
    pub fn new(root: &Path) -> Driver {
        let target = root.join("sys/kernel/config/netconsole/earlykmsg");
        fs::create_dir_all(&target).expect("make a folder");
        let driver = Driver { target };
        driver.clear();
        driver
    }

    /// Takes the folder away, as if the module were not loaded; [`Driver::load`] brings it back.
    pub fn unload(&self) {
        fs::rename(self.folder(), self.folder().with_extension("unloaded")).expect("move a folder");
    }

    /// Brings back what [`Driver::unload`] took away.
    pub fn load(&self) {
        fs::rename(self.folder().with_extension("unloaded"), self.folder()).expect("move a folder");
    }

    /// Netconsole's folder.
    fn folder(&self) -> &Path {
        self.target.parent().expect("a folder")
    }

    /// The file of a value.
    pub fn path(&self, name: &str) -> PathBuf {
        self.target.join(name)
    }

    /// Forgets all values.
    pub fn clear(&self) {
        VALUES.iter().for_each(|name| fs::write(self.path(name), "").expect("write a file"));
    }

    /// The values: extended, interface, local address, remote address, port, hardware address, enabled.
    pub fn values(&self) -> [String; 7] {
        VALUES.map(|name| fs::read_to_string(self.path(name)).expect("read a file"))
    }
}
