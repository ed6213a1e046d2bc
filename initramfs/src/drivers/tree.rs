//! The modules of a kernel, as they lie in a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::modinfo::module_name;
use crate::at;

/// The modules of one kernel: `/lib/modules/VERSION`, or the same in a package that was unpacked.
pub(crate) struct ModuleTree {
    /// `/lib/modules/VERSION`
    folder: PathBuf,
    /// Their files by name, relative to the folder.
    files: BTreeMap<String, String>,
    /// The names of those that are part of the kernel itself.
    builtin: BTreeSet<String>,
}

impl ModuleTree {
    /// Finds the modules in a folder: in itself, or in the one kernel's below `lib/modules` or `usr/lib/modules`.
    pub(crate) fn at(folder: &Path) -> io::Result<ModuleTree> {
        let folder = modules_folder(folder)?;
        let mut paths = Vec::new();
        find_files(&folder, "", &mut paths)?;
        // Of two with one name, modprobe takes that in `updates`, then the kernel's own.
        paths.sort_by_key(|path| (!path.starts_with("updates/"), !path.starts_with("kernel/"), path.clone()));
        let mut files = BTreeMap::new();
        for path in paths {
            if let Some(name) = name_of(&path) {
                files.entry(name).or_insert(path);
            }
        }
        let list = folder.join("modules.builtin");
        let builtin = match fs::read_to_string(&list) {
            Ok(text) => text.lines().filter_map(name_of).collect(),
            Err(why) if why.kind() == io::ErrorKind::NotFound => BTreeSet::new(),
            Err(why) => return Err(at("unable to read", &list)(why)),
        };
        Ok(ModuleTree { folder, files, builtin })
    }

    /// The file of a module, relative to the folder.
    pub(crate) fn file(&self, name: &str) -> Option<&str> {
        self.files.get(name).map(String::as_str)
    }

    /// Where a file of it is.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    pub(crate) fn is_builtin(&self, name: &str) -> bool {
        self.builtin.contains(name)
    }
}

fn modules_folder(folder: &Path) -> io::Result<PathBuf> {
    if folder.join("kernel").is_dir() {
        return Ok(folder.to_owned());
    }
    let mut found = Vec::new();
    for modules in ["lib/modules", "usr/lib/modules"] {
        // `lib` may be a link to `usr/lib`.
        if let Ok(entries) = folder.join(modules).canonicalize().and_then(fs::read_dir) {
            for entry in entries {
                let path = entry.map_err(at("unable to read", folder))?.path();
                if path.join("kernel").is_dir() && !found.contains(&path) {
                    found.push(path);
                }
            }
        }
    }
    let why = match found.len() {
        1 => return Ok(found.remove(0)),
        0 => "neither /lib/modules/VERSION of a kernel nor an unpacked package of one".to_owned(),
        count => format!("holds {count} kernels; name one: lib/modules/VERSION in it"),
    };
    Err(at("no modules in", folder)(io::Error::new(io::ErrorKind::NotFound, why)))
}

/// All files below a folder. Links to folders (`build`, `source`) are not followed.
fn find_files(folder: &Path, below: &str, files: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder).map_err(at("unable to read", folder))? {
        let entry = entry.map_err(at("unable to read", folder))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let file = format!("{below}{name}");
        if entry.file_type().map_err(at("unable to read", &entry.path()))?.is_dir() {
            find_files(&entry.path(), &format!("{file}/"), files)?;
        } else {
            files.push(file);
        }
    }
    Ok(())
}

/// `i2c_algo_bit` of `kernel/drivers/i2c/algos/i2c-algo-bit.ko.xz`.
fn name_of(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let (name, compression) = file.split_once(".ko")?;
    ["", ".xz", ".zst", ".gz"].contains(&compression).then(|| module_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        for (file, name) in [
            ("kernel/drivers/net/e1000/e1000.ko", Some("e1000")),
            ("i2c-algo-bit.ko.xz", Some("i2c_algo_bit")),
            ("a.ko.zst", Some("a")),
            ("a.ko.gz", Some("a")),
            ("a.ko.bak", None),
            ("modules.dep", None),
        ] {
            assert_eq!(name_of(file).as_deref(), name, "{file}");
        }
    }
}
