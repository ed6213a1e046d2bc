//! The system extension for Talos: a tar archive as the imager takes it, and the same as an OCI image layout for all
//! processors.
//!
//! What lies below `rootfs/usr/lib/firmware` the imager puts into the initramfs itself, so the kernel can start it
//! from there. (Talos 1.10 and later; earlier ones look below `rootfs/lib/firmware`.)

use std::io;

use serde_json::{Value, json};

use crate::architecture::Architecture;
use crate::overlay::sha256;
use crate::package::gzip;
use crate::release::{Date, VERSION};

/// Where the program is in Talos's initramfs: the value for `rdinit=`.
pub const PROGRAM: &str = "/usr/lib/firmware/earlykmsg";

const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn manifest() -> String {
    format!(
        "version: v1alpha1
metadata:
  name: earlykmsg
  version: {VERSION}
  author: the earlykmsg authors
  description: |
    Ships the kernel log from the first line of the boot on, as Talos does it later.
    It is started by the kernel argument rdinit={PROGRAM}.
  compatibility:
    talos:
      version: \">= v1.10.0\"
"
    )
}

/// The extension as a tar archive: `manifest.yaml` and `rootfs`, and nothing beside them.
pub(crate) fn extension(program: &[u8], date: &Date) -> io::Result<Vec<u8>> {
    let mut archive = Archive::new(date);
    archive.file("manifest.yaml", 0o644, manifest().as_bytes())?;
    for (slash, _) in format!("rootfs{PROGRAM}").match_indices('/') {
        archive.folder(&format!("rootfs{PROGRAM}")[..slash])?;
    }
    archive.file(&format!("rootfs{PROGRAM}"), 0o755, program)?;
    archive.finish()
}

/// Extensions of several processors as an OCI image layout, in a tar archive. Each image has the name
/// `VERSION-ARCHITECTURE`; the imager finds its own by the platform.
pub(crate) fn oci_layout(extensions: &[(Architecture, Vec<u8>)], date: &Date) -> io::Result<Vec<u8>> {
    let mut archive = Archive::new(date);
    archive.file("oci-layout", 0o644, &json_bytes(&json!({ "imageLayoutVersion": "1.0.0" })))?;
    archive.folder("blobs")?;
    archive.folder("blobs/sha256")?;
    let mut manifests = Vec::new();
    for (architecture, extension) in extensions {
        let name = architecture.debian;
        let mut blob = |media_type: &str, bytes: &[u8]| -> io::Result<Value> {
            let sum = sha256(bytes);
            archive.file(&format!("blobs/sha256/{sum}"), 0o644, bytes)?;
            Ok(json!({ "mediaType": media_type, "digest": format!("sha256:{sum}"), "size": bytes.len() }))
        };
        let layer = blob(OCI_LAYER, &gzip(extension)?)?;
        let config = json!({
            "created": date.rfc3339()?,
            "architecture": name,
            "os": "linux",
            "config": {},
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", sha256(extension))] },
        });
        let config = blob(OCI_CONFIG, &json_bytes(&config))?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": config,
            "layers": [layer],
        });
        let mut descriptor = blob(OCI_MANIFEST, &json_bytes(&manifest))?;
        descriptor["platform"] = json!({ "architecture": name, "os": "linux" });
        descriptor["annotations"] =
            json!({ "org.opencontainers.image.ref.name": format!("{VERSION}-{name}") });
        manifests.push(descriptor);
    }
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests });
    archive.file("index.json", 0o644, &json_bytes(&index))?;
    archive.finish()
}

fn json_bytes(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

/// A tar archive without anything of the machine that makes it.
struct Archive {
    builder: tar::Builder<Vec<u8>>,
    seconds: u64,
}

impl Archive {
    fn new(date: &Date) -> Archive {
        Archive { builder: tar::Builder::new(Vec::new()), seconds: date.seconds() }
    }

    fn folder(&mut self, path: &str) -> io::Result<()> {
        self.put(&format!("{path}/"), tar::EntryType::Directory, 0o755, &[])
    }

    fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
        self.put(path, tar::EntryType::Regular, mode, bytes)
    }

    fn put(&mut self, path: &str, kind: tar::EntryType, mode: u32, bytes: &[u8]) -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.seconds);
        header.set_size(bytes.len() as u64);
        self.builder.append_data(&mut header, path, bytes)
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        self.builder.into_inner()
    }
}
