//! All that is published of one version: a folder of files, with their checksums.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, process};

use crate::architecture::Architecture;
use crate::overlay::{Overlay, Programs, sha256};
use crate::package::{Package, Workshop};
use crate::{at, sbom, talos};

/// The version that is released.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The OCI image layout of Talos's extension, for all processors.
pub const TALOS_OCI: &str = "earlykmsg-talos-oci.tar";

/// What is published of a program for one processor or several.
pub struct Release {
    files: Vec<Published>,
}

struct Published {
    name: String,
    mode: u32,
    bytes: Vec<u8>,
}

impl Release {
    /// Packs programs, each built for another processor, and the viewer where it was built. `work` is a folder that can be made and removed.
    ///
    /// # Errors
    /// The step that failed: a program for no known processor, a tool that is missing.
    pub fn new(programs: &[Programs], viewer: Option<&[u8]>, work: &Path) -> io::Result<Release> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let work = Workshop::new(work.join(format!("earlykmsg-release.{}.{number}", process::id())))?;
        let date = Date::of_release()?;
        let mut release = Release { files: Vec::new() };
        let mut extensions = Vec::new();
        for program in programs {
            let architecture = Architecture::of(&program.earlykmsg)?;
            let name = architecture.debian;
            let overlay = Overlay::new(program)?;
            let bill = sbom::of(program)?;
            let package = Package::new(program, &bill, &date)?;
            let extension = talos::extension(&program.earlykmsg, &date)?;
            release.put(format!("earlykmsg-{name}"), 0o755, program.earlykmsg.clone());
            release.put(format!("earlykmsg-network-{name}"), 0o755, program.network.clone());
            release.put(format!("earlykmsg-pstore-{name}"), 0o755, program.pstore.clone());
            release.put(format!("earlykmsg-{name}.cpio"), 0o644, overlay.cpio);
            release.put(format!("earlykmsg-{name}.cpio.gz"), 0o644, overlay.gzip);
            release.put(format!("earlykmsg-{name}.cpio.zst"), 0o644, overlay.zstd);
            for (name, bytes) in [
                package.deb(&work.0.join(format!("{name}.deb")))?,
                package.rpm(&work.0.join(format!("{name}.rpm")))?,
            ] {
                release.put(name, 0o644, bytes);
            }
            release.put(format!("earlykmsg-talos-{name}.tar"), 0o644, extension.clone());
            release.put(format!("earlykmsg-{name}.cdx.json"), 0o644, bill);
            extensions.push((architecture, extension));
        }
        if let Some(viewer) = viewer {
            let package = Package::viewer(viewer, &sbom::of_viewer(viewer)?, &date)?;
            let (name, bytes) = package.deb(&work.0.join("view.deb"))?;
            release.put(name, 0o644, bytes);
        }
        release.put(TALOS_OCI.to_owned(), 0o644, talos::oci_layout(&extensions, &date)?);
        Ok(release)
    }

    fn put(&mut self, name: String, mode: u32, bytes: Vec<u8>) {
        self.files.push(Published { name, mode, bytes });
    }

    /// A file of it by its name.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.files.iter().find(|file| file.name == name).map(|file| &file.bytes[..])
    }

    /// Writes all files and their checksums (`sha256sum -c SHA256SUMS`) into a folder, which is made if it is not
    /// there. Gives the paths written.
    ///
    /// # Errors
    /// The step and the path that failed, with the system's reason.
    pub fn write_to(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        fs::create_dir_all(folder).map_err(at("unable to make the folder", folder))?;
        let sums: String =
            self.files.iter().map(|file| format!("{}  {}\n", sha256(&file.bytes), file.name)).collect();
        let mut paths = Vec::new();
        let files = self.files.iter().map(|file| (&file.name[..], file.mode, &file.bytes[..]));
        for (name, mode, bytes) in files.chain([("SHA256SUMS", 0o644, sums.as_bytes())]) {
            let path = folder.join(name);
            fs::write(&path, bytes).map_err(at("unable to write", &path))?;
            fs::set_permissions(&path, Permissions::from_mode(mode))
                .map_err(at("unable to set the mode of", &path))?;
            paths.push(path);
        }
        Ok(paths)
    }
}

/// The time that stands in packages and archives: that of the release, not that of the build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Date(u64);

impl Date {
    /// 2026-01-01, while no version has a date.
    const UNRELEASED: u64 = 1_767_225_600;

    /// `SOURCE_DATE_EPOCH` where it is set, else the date of the newest version in CHANGELOG.md, as in
    /// `## 0.1.0 (2026-12-01)`.
    fn of_release() -> io::Result<Date> {
        if let Some(seconds) = env::var_os("SOURCE_DATE_EPOCH") {
            let seconds = seconds.to_str().and_then(|text| text.parse().ok());
            return seconds.map(Date).ok_or_else(|| io::Error::other("SOURCE_DATE_EPOCH is not a number"));
        }
        let path = workspace().join("CHANGELOG.md");
        let changes = fs::read_to_string(&path).map_err(at("unable to read", &path))?;
        let mut dates = changes.lines().filter(|line| line.starts_with("## ")).filter_map(date_in);
        let Some(date) = dates.next() else { return Ok(Date(Date::UNRELEASED)) };
        let seconds = output(Command::new("date").args(["--utc", "+%s", "--date", date]))?;
        String::from_utf8_lossy(&seconds).trim().parse().map(Date).map_err(io::Error::other)
    }

    pub(crate) fn seconds(&self) -> u64 {
        self.0
    }

    /// `Thu, 01 Jan 2026 00:00:00 +0000`
    pub(crate) fn rfc2822(&self) -> io::Result<String> {
        self.by("--rfc-email")
    }

    /// `2026-01-01T00:00:00Z`
    pub(crate) fn rfc3339(&self) -> io::Result<String> {
        self.by("+%Y-%m-%dT%H:%M:%SZ")
    }

    fn by(&self, format: &str) -> io::Result<String> {
        let when = format!("@{}", self.0);
        let text = output(Command::new("date").args(["--utc", "--date", &when, format]).env("LC_ALL", "C"))?;
        Ok(String::from_utf8_lossy(&text).trim().to_owned())
    }
}

/// `2026-12-01` of `## 0.2.0 (2026-12-01)`.
fn date_in(heading: &str) -> Option<&str> {
    let date = heading.split_once('(')?.1.strip_suffix(')')?;
    date.starts_with("20").then_some(date)
}

/// The root of the repository.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs a command to its end and gives what it wrote.
pub(crate) fn output(command: &mut Command) -> io::Result<Vec<u8>> {
    let name = Path::new(command.get_program()).to_owned();
    let output = command.output().map_err(at("unable to start", &name))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(at("failed:", &name)(io::Error::other(why)));
    }
    Ok(output.stdout)
}
