//! The images of a cluster, built here without a registry and without a daemon, by `buildah` from Dockerfiles.
//!
//! Rule: an archive's name holds the hash of everything it is made from, so a file that is there is the right one, and
//! the sources of the small images are part of this program, so it needs no checkout to build them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use crate::pid::Pid;

/// The reference of the image that keeps a Pod's namespaces open.
pub const SANDBOX: &str = "coppice.local/pause:1";
/// The reference of the image whose behaviour tests control; `workload/README.md` says how.
pub const WORKLOAD: &str = "coppice.local/workload:1";
/// The name under which the samples ask for the workload image, which is a busybox, so that they run without a network.
pub const SAMPLES: &str = "docker.io/library/busybox:1.37";
/// The reference of the operator's image: what the chart and `manifests/install.yaml` of this version ask for.
pub const OPERATOR: &str = concat!("coppice.dev/coppice:", env!("CARGO_PKG_VERSION"));

const OPERATOR_DOCKERFILE: &str = include_str!("../Dockerfile");
const WORKLOAD_DOCKERFILE: &str = include_str!("../workload/Dockerfile");
const WORKLOAD_SCRIPT: &str = include_str!("../workload/workload");
/// Debian's `busybox-static` puts it there.
const BUSYBOX: &str = "/bin/busybox";
/// Archives that nobody has asked for in this time are deleted.
const KEPT: Duration = Duration::from_hours(7 * 24);

/// Why an image could not be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("use {path} for an image")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
    /// A program did not succeed.
    #[error("run `{command}`: {reason}")]
    Command {
        /// The program and its first argument.
        command: String,
        /// What it said.
        reason: String,
    },
}

/// The sandbox and the workload image, the latter under both of its names, as OCI archives in the folder `images` of `cache`.
pub fn small(cache: &Path) -> Result<Vec<PathBuf>, Error> {
    let busybox = fs::read(BUSYBOX).map_err(|source| Error::File {
        path: BUSYBOX.into(),
        source,
    })?;
    let inputs: [&[u8]; 3] = [
        &busybox,
        WORKLOAD_SCRIPT.as_bytes(),
        WORKLOAD_DOCKERFILE.as_bytes(),
    ];
    let build = |stage, reference| {
        let image = Image {
            cache,
            name: stage,
            reference,
            dockerfile: WORKLOAD_DOCKERFILE,
            stage: Some(stage),
        };
        image.archive(&inputs, workload_files)
    };
    Ok(vec![
        build("pause", SANDBOX)?,
        build("workload", WORKLOAD)?,
        build("workload", SAMPLES)?,
    ])
}

/// The operator's image, as an OCI archive in the folder `images` of `cache`, made from the static program `binary`.
pub fn operator(cache: &Path, binary: &Path) -> Result<PathBuf, Error> {
    let program = fs::read(binary).map_err(|source| Error::File {
        path: binary.to_owned(),
        source,
    })?;
    let image = Image {
        cache,
        name: "operator",
        reference: OPERATOR,
        dockerfile: OPERATOR_DOCKERFILE,
        stage: None,
    };
    image.archive(&[&program, OPERATOR_DOCKERFILE.as_bytes()], |context| {
        let copy = context.join("coppice");
        fs::copy(binary, &copy)
            .map(drop)
            .map_err(|source| Error::File { path: copy, source })
    })
}

/// What the operator's program is compiled for.
pub fn triple() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// Compiles the operator of the checkout `checkout` into one static program, with Cargo's output in `target`, and
/// gives back the program's file. What Cargo says goes to the standard error.
pub fn operator_binary(checkout: &Path, target: &Path) -> Result<PathBuf, Error> {
    let triple = triple();
    let mut cargo = cargo();
    cargo.current_dir(checkout).args([
        "build",
        "--release",
        "--locked",
        "--bin",
        "coppice",
        "--target",
        &triple,
    ]);
    cargo.arg("--target-dir").arg(target);
    // A static C library has no loader, so the program runs in an image that holds nothing else. Packed, the addresses that
    // it puts right at its start take a twentieth of their room. The explicit target keeps the flags away from build
    // scripts. Flags of a surrounding Cargo would win, hence the removal.
    let flags = "-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs";
    cargo
        .env("RUSTFLAGS", flags)
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    let status = cargo.stdin(Stdio::null()).stdout(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(target.join(triple).join("release").join("coppice")),
        Ok(status) => Err(Error::Command {
            command: "cargo build".to_owned(),
            reason: status.to_string(),
        }),
        Err(error) => Err(Error::Command {
            command: "cargo build".to_owned(),
            reason: error.to_string(),
        }),
    }
}

/// Cargo, as a person would start it. A surrounding Cargo, such as that of a test, describes its own package in the
/// environment; build scripts would take that for a change, and half of all crates would be compiled again.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_"]
            .iter()
            .any(|prefix| text.starts_with(prefix))
        {
            cargo.env_remove(&name);
        }
    }
    cargo
}

/// What one archive is made from.
struct Image<'recipe> {
    cache: &'recipe Path,
    name: &'static str,
    reference: &'static str,
    dockerfile: &'static str,
    /// The stage of the Dockerfile, when it has several.
    stage: Option<&'static str>,
}

impl Image<'_> {
    /// The archive, from the cache or built now; `fill` puts the files that the hashed `inputs` stand for into the
    /// build context.
    fn archive(
        &self,
        inputs: &[&[u8]],
        fill: impl FnOnce(&Path) -> Result<(), Error>,
    ) -> Result<PathBuf, Error> {
        let images = self.cache.join("images");
        let archive = images.join(format!("{}-{}.tar", self.name, self.hash(inputs)));
        if archive.exists() {
            return Ok(archive);
        }
        // Everything happens in a folder of this process, so that two builds do not meet.
        let workshop = images.join(format!("{}-{}.partial", self.name, std::process::id()));
        make_dir(&workshop.join("context"))?;
        let built = fill(&workshop.join("context")).and_then(|()| self.build(&workshop));
        let kept = built
            .and_then(|file| fs::rename(file, &archive).map_err(|source| at(&archive)(source)));
        fs::remove_dir_all(&workshop).map_err(at(&workshop))?;
        kept?;
        forget_old(&images, self.name);
        Ok(archive)
    }

    fn hash(&self, inputs: &[&[u8]]) -> String {
        let mut hash = Sha256::new();
        for input in inputs.iter().copied().chain([self.reference.as_bytes()]) {
            hash.update(Sha256::digest(input));
        }
        let bytes: Vec<String> = hash
            .finalize()
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        bytes.concat()
    }

    /// Builds the context of `workshop`; no process runs in the image, so neither a daemon nor mounts are needed.
    fn build(&self, workshop: &Path) -> Result<PathBuf, Error> {
        let dockerfile = workshop.join("Dockerfile");
        fs::write(&dockerfile, self.dockerfile).map_err(at(&dockerfile))?;
        let mut build = buildah(workshop);
        build.args([
            "build",
            "--isolation",
            "chroot",
            "--layers=false",
            "--timestamp",
            "0",
            "--tag",
            self.reference,
        ]);
        if let Some(stage) = self.stage {
            build.args(["--target", stage]);
        }
        succeed(
            build
                .arg("--file")
                .arg(&dockerfile)
                .arg(workshop.join("context")),
        )?;
        let archive = workshop.join("image.tar");
        let destination = format!("oci-archive:{}:{}", archive.display(), self.reference);
        succeed(buildah(workshop).args(["push", "--quiet", self.reference, &destination]))?;
        Ok(archive)
    }
}

/// `buildah` with storage of its own: plain folders, which need no support by the kernel and leave nothing mounted.
fn buildah(workshop: &Path) -> Command {
    let mut buildah = Command::new("buildah");
    buildah
        .arg("--root")
        .arg(workshop.join("storage"))
        .arg("--runroot")
        .arg(workshop.join("runtime"));
    buildah.args(["--storage-driver", "vfs"]);
    buildah
}

fn succeed(command: &mut Command) -> Result<(), Error> {
    let words: Vec<_> = command
        .get_args()
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    let failed = |reason: String| Error::Command {
        command: format!("buildah {}", words.join(" ")),
        reason,
    };
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() {
        Ok(())
    } else {
        Err(failed(complaint))
    }
}

/// The files of the workload image: busybox, a link for each of its applets, the script, and a folder all may write.
fn workload_files(context: &Path) -> Result<(), Error> {
    let bin = context.join("bin");
    make_dir(&bin)?;
    let busybox = bin.join("busybox");
    fs::copy(BUSYBOX, &busybox).map_err(at(&busybox))?;
    let script = bin.join("workload");
    fs::write(&script, WORKLOAD_SCRIPT).map_err(at(&script))?;
    set_mode(&script, 0o755)?;
    let list = Command::new(BUSYBOX).arg("--list").output();
    let list = list.map_err(|error| Error::Command {
        command: "busybox --list".to_owned(),
        reason: error.to_string(),
    })?;
    for applet in String::from_utf8_lossy(&list.stdout)
        .lines()
        .filter(|applet| *applet != "busybox")
    {
        let link = bin.join(applet);
        symlink("busybox", &link).map_err(at(&link))?;
    }
    let state = context.join("run/workload");
    make_dir(&state)?;
    set_mode(&state, 0o1777)
}

/// Deletes the archives of the image `name` that were made long ago, and the folders of builds that were killed; failing
/// to is no reason not to go on.
fn forget_old(images: &Path, name: &str) {
    let now = SystemTime::now();
    for entry in fs::read_dir(images).into_iter().flatten().flatten() {
        let path = entry.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let Some(rest) = stem.strip_prefix(&format!("{name}-")) else {
            continue;
        };
        let extension = path.extension().unwrap_or_default();
        let age = entry
            .metadata()
            .and_then(|data| data.modified())
            .ok()
            .and_then(|made| now.duration_since(made).ok());
        if extension == "tar" && age.is_some_and(|age| KEPT < age) {
            let _ = fs::remove_file(&path);
        }
        let builder = rest.parse().ok().and_then(Pid::of);
        if extension == "partial" && builder.is_none() {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

fn make_dir(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(at(path))
}

fn set_mode(path: &Path, mode: u32) -> Result<(), Error> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(at(path))
}

fn at(path: &Path) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::File {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image<'a>(cache: &'a Path, reference: &'static str) -> Image<'a> {
        Image {
            cache,
            name: "test",
            reference,
            dockerfile: "",
            stage: None,
        }
    }

    #[test]
    fn an_archive_is_named_after_everything_it_is_made_from() {
        let cache = Path::new("/nowhere");
        let plain = image(cache, "a:1").hash(&[b"one", b"two"]);
        assert_eq!(plain.len(), 16);
        assert_eq!(plain, image(cache, "a:1").hash(&[b"one", b"two"]));
        assert_ne!(plain, image(cache, "a:2").hash(&[b"one", b"two"]));
        assert_ne!(plain, image(cache, "a:1").hash(&[b"onet", b"wo"]));
    }

    #[test]
    fn an_archive_that_is_there_is_not_built_again() {
        let cache = std::env::temp_dir().join(format!("images-{}", std::process::id()));
        let image = image(&cache, "a:1");
        let archive = cache
            .join("images")
            .join(format!("test-{}.tar", image.hash(&[b"one"])));
        make_dir(&cache.join("images")).expect("a folder");
        fs::write(&archive, "built before").expect("an archive");
        let found = image.archive(&[b"one"], |context| panic!("filled {}", context.display()));
        assert_eq!(found.expect("found"), archive);
        fs::remove_dir_all(&cache).expect("removed");
    }
}
