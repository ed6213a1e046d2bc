//! An overlay of network drivers for an image that has none: `/earlykmsg.d/`, laid out as depmod lays out
//! `/lib/modules/VERSION/`.
//!
//! It is a folder of its own because a folder `lib` in an archive behind an image replaces the image's link
//! `/lib -> usr/lib`.

mod modinfo;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use modinfo::{Modinfo, module_name};
use tree::ModuleTree;

use crate::{Image, at};

/// Where the drivers are in an image.
pub const FOLDER: &str = "/earlykmsg.d";

/// What virtual machines, clouds and servers have: cards, the buses that they are on, what bonds and VLANs need, and
/// netconsole. Those that need firmware are here to be told.
const USUAL: [&str; 57] = [
    // virtual
    "virtio_pci",
    "virtio_mmio",
    "virtio_net",
    "vmxnet3",
    "xen-netfront",
    "hv_netvsc",
    "ena",
    "gve",
    "mana",
    // Intel
    "e100",
    "e1000",
    "e1000e",
    "igb",
    "igbvf",
    "igc",
    "ixgbe",
    "ixgbevf",
    "i40e",
    "iavf",
    "ice",
    // Broadcom, Mellanox and others in servers
    "tg3",
    "bnx2",
    "bnx2x",
    "bnxt_en",
    "mlx4_en",
    "mlx5_core",
    "qede",
    "be2net",
    "enic",
    "cxgb4",
    "nfp",
    "sfc",
    "ionic",
    // smaller machines
    "r8169",
    "8139cp",
    "8139too",
    "pcnet32",
    "atlantic",
    "forcedeth",
    "sky2",
    "alx",
    "atl1c",
    // USB
    "xhci_pci",
    "ehci_pci",
    "uhci_hcd",
    "ohci_pci",
    "cdc_ether",
    "cdc_ncm",
    "rndis_host",
    "asix",
    "ax88179_178a",
    "r8152",
    "smsc95xx",
    "lan78xx",
    // links upon links
    "bonding",
    "8021q",
    // the lines of a panic
    "netconsole",
];

/// Drivers and all that they need, of one kernel.
#[derive(Clone, Debug)]
pub struct Drivers {
    /// The kernel that they are for, as `uname -r` has it.
    pub release: String,
    /// The folder [`FOLDER`].
    pub image: Image,
    /// How many modules it holds.
    pub modules: usize,
    /// What was left out and why, a line each.
    pub left_out: Vec<String>,
}

impl Drivers {
    /// The named drivers of a kernel, or the usual ones of those that it has. The folder is `/lib/modules/VERSION`, or
    /// a package that was unpacked.
    ///
    /// # Errors
    /// A name that the kernel does not know, that none is left, or what could not be read.
    pub fn of(folder: &Path, names: &[String]) -> io::Result<Drivers> {
        let tree = ModuleTree::at(folder)?;
        let mut selection = Selection::new(&tree);
        if names.is_empty() {
            selection.take_usual()?;
        } else {
            for name in names {
                selection.take_named(name)?;
            }
        }
        selection.finish()
    }
}

/// The modules that are taken so far.
struct Selection<'a> {
    tree: &'a ModuleTree,
    /// What was read of modules, taken or not.
    read: BTreeMap<String, Modinfo>,
    taken: BTreeSet<String>,
    left_out: Vec<String>,
}

/// Soft dependencies that no module names: the kernel itself asks modprobe for them, which an image without drivers
/// rarely has.
const UNNAMED_SOFTDEPS: [(&str, &str); 1] = [("mlx4_core", "post: mlx4_en")];

impl Selection<'_> {
    fn new(tree: &ModuleTree) -> Selection<'_> {
        Selection { tree, read: BTreeMap::new(), taken: BTreeSet::new(), left_out: Vec::new() }
    }

    fn take_usual(&mut self) -> io::Result<()> {
        let is_known = |name: &str| self.tree.file(name).is_some() || self.tree.is_builtin(name);
        let (known, unknown): (Vec<String>, Vec<String>) =
            USUAL.iter().map(|name| module_name(name)).partition(|name| is_known(name));
        if !unknown.is_empty() {
            self.left_out.push(format!("not of this kernel: {}", unknown.join(", ")));
        }
        known.iter().try_for_each(|name| self.take_named(name))
    }

    /// A driver that somebody asked for.
    fn take_named(&mut self, name: &str) -> io::Result<()> {
        let name = module_name(name);
        if self.tree.file(&name).is_none() {
            if self.tree.is_builtin(&name) {
                self.left_out.push(format!("built into the kernel: {name}"));
                return Ok(());
            }
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("the kernel has no module {name}")));
        }
        match self.firmware_of(&name)? {
            None => self.take(&name),
            Some((module, firmware)) => {
                let by =
                    if module == name { String::new() } else { format!(" by {module}, which it depends on") };
                self.left_out.push(format!("needs firmware{by}: {name} ({})", firmware.join(" ")));
                Ok(())
            }
        }
    }

    /// A module with all that it needs.
    fn take(&mut self, name: &str) -> io::Result<()> {
        let mut modules = self.dependencies(name)?;
        modules.push(name.to_owned());
        for module in modules {
            if !self.taken.insert(module.clone()) {
                continue;
            }
            for soft in soft_names(&self.info(&module)?.softdeps) {
                // What has no file is built in, or an alias of what is.
                if self.tree.file(&soft).is_some() && !self.taken.contains(&soft) {
                    match self.firmware_of(&soft)? {
                        None => self.take(&soft)?,
                        Some(_) => self
                            .left_out
                            .push(format!("needs firmware: {soft}, which {module} can do without")),
                    }
                }
            }
        }
        Ok(())
    }

    /// The first that names firmware, of a module and those that it depends on.
    fn firmware_of(&mut self, name: &str) -> io::Result<Option<(String, Vec<String>)>> {
        let mut modules = vec![name.to_owned()];
        modules.extend(self.dependencies(name)?);
        for module in modules {
            let firmware = self.info(&module)?.firmware;
            if !firmware.is_empty() {
                return Ok(Some((module, firmware)));
            }
        }
        Ok(None)
    }

    /// All modules that one depends on, directly or not, in the order of loading.
    fn dependencies(&mut self, name: &str) -> io::Result<Vec<String>> {
        let mut order = Vec::new();
        self.visit(name, &mut BTreeSet::new(), &mut order)?;
        order.pop(); // itself
        Ok(order)
    }

    fn visit(&mut self, name: &str, seen: &mut BTreeSet<String>, order: &mut Vec<String>) -> io::Result<()> {
        if !seen.insert(name.to_owned()) {
            return Ok(());
        }
        for needed in self.info(name)?.depends {
            if !self.tree.is_builtin(&needed) {
                self.visit(&needed, seen, order)?;
            }
        }
        order.push(name.to_owned());
        Ok(())
    }

    fn info(&mut self, name: &str) -> io::Result<Modinfo> {
        if let Some(info) = self.read.get(name) {
            return Ok(info.clone());
        }
        let mut info = Modinfo::of(&self.tree.path(self.file(name)?))?;
        let unnamed = UNNAMED_SOFTDEPS.iter().filter(|(module, _)| *module == name);
        info.softdeps.extend(unnamed.map(|(_, softdep)| (*softdep).to_owned()));
        self.read.insert(name.to_owned(), info.clone());
        Ok(info)
    }

    fn file(&self, name: &str) -> io::Result<&str> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("a module is missing: {name}"));
        self.tree.file(name).ok_or_else(missing)
    }

    fn finish(mut self) -> io::Result<Drivers> {
        let taken: Vec<String> = self.taken.iter().cloned().collect();
        let Some(first) = taken.first() else {
            let why = format!("no driver is left to pack\n{}", self.left_out.join("\n"));
            return Err(io::Error::new(io::ErrorKind::NotFound, why));
        };
        let release = self.info(first)?.release;
        let mut image = Image::new();
        for name in &taken {
            let file = self.file(name)?;
            let path = self.tree.path(file);
            let bytes = fs::read(&path).map_err(at("unable to read", &path))?;
            image = image.file(&format!("{FOLDER}/{file}"), 0o644, bytes);
        }
        for (name, text) in [
            ("modules.dep", self.modules_dep(&taken)?),
            ("modules.alias", self.modules_alias(&taken)?),
            ("modules.softdep", self.modules_softdep(&taken)?),
        ] {
            image = image.file(&format!("{FOLDER}/{name}"), 0o644, text);
        }
        Ok(Drivers { release, image, modules: taken.len(), left_out: self.left_out })
    }

    /// `FILE: FILE FILE`: the last is to be loaded first.
    fn modules_dep(&mut self, taken: &[String]) -> io::Result<String> {
        let mut text = String::new();
        for name in taken {
            let dependencies = self.dependencies(name)?;
            let _ = write!(text, "{}:", self.file(name)?);
            for needed in dependencies.iter().rev() {
                let _ = write!(text, " {}", self.file(needed)?);
            }
            text.push('\n');
        }
        Ok(text)
    }

    fn modules_alias(&mut self, taken: &[String]) -> io::Result<String> {
        let mut text = "# Aliases extracted from modules themselves.\n".to_owned();
        for name in taken {
            for alias in self.info(name)?.aliases {
                let _ = writeln!(text, "alias {alias} {name}");
            }
        }
        Ok(text)
    }

    /// Without the names of those that are not here.
    fn modules_softdep(&mut self, taken: &[String]) -> io::Result<String> {
        let mut text = "# Soft dependencies extracted from modules themselves.\n".to_owned();
        for name in taken {
            for softdep in self.info(name)?.softdeps {
                let is_here = |word: &&str| word.ends_with(':') || self.taken.contains(&module_name(word));
                let words: Vec<&str> = softdep.split_whitespace().filter(is_here).collect();
                if words.iter().any(|word| !word.ends_with(':')) {
                    let _ = writeln!(text, "softdep {name} {}", words.join(" "));
                }
            }
        }
        Ok(text)
    }
}

/// The modules in soft dependencies, whether they are wanted before or behind.
fn soft_names(softdeps: &[String]) -> Vec<String> {
    let words = softdeps.iter().flat_map(|softdep| softdep.split_whitespace());
    words.filter(|word| !word.ends_with(':')).map(module_name).collect()
}
