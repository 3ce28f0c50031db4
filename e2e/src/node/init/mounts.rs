//! The mounts of a node: `/run` and `/var` of its own, and harmless stand-ins for settings of the whole machine.
//!
//! Rule: it is called only in a private mount namespace, so that all of it is gone with the node's last process.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, mount, mount_bind, mount_change, mount_move,
};

use super::{Boot, Error};
use crate::node::layout;

/// Settings that the kubelet makes, with the values it wants. They belong to the whole machine (one of them reboots
/// it after a kernel panic), so the kubelet finds files there instead that hold those values already.
const KUBELET_SETTINGS: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// Gives the node its view of the file system.
pub(super) fn arrange(boot: &Boot) -> Result<(), Error> {
    // A reboot empties /run, so it is a new one each time. It is filled aside, because the things to bind may be in
    // the machine's own /run or /var.
    let run = boot.dir.join("run");
    make_dir(&run)?;
    at(
        &run,
        mount(
            "tmpfs",
            &run,
            "tmpfs",
            MountFlags::NOSUID | MountFlags::NODEV,
            Some(c"mode=0755"),
        ),
    )?;
    let ours = run.join(beneath(layout::OURS, "/run"));
    let aside = |path: &str| ours.join(beneath(path, layout::OURS));
    bind_files(&boot.programs, &aside(layout::PROGRAMS))?;
    bind_files(&boot.images, &aside(layout::IMAGES))?;
    let node = ours.join("node");
    make_dir(&node)?;
    bind(&boot.dir, &node)?;
    cover_settings(&ours.join("settings"))?;

    hide_resolver(&boot.dir.join("config/resolv.conf"))?;

    let var = boot.dir.join("var");
    make_var(&var)?;
    bind(&var, Path::new("/var"))?;
    at("/run", mount_move(&run, "/run"))?;
    // As on a real node, so that mounts can be handed from a Pod to the kubelet and back.
    at(
        "/",
        mount_change(
            "/",
            MountPropagationFlags::SHARED | MountPropagationFlags::REC,
        ),
    )
}

/// Lets each of `files` appear in the folder `dir`.
fn bind_files(files: &[PathBuf], dir: &Path) -> Result<(), Error> {
    make_dir(dir)?;
    for file in files {
        let place = dir.join(file.file_name().unwrap_or_default());
        write(&place, "")?;
        bind(file, &place)?;
    }
    Ok(())
}

fn cover_settings(dir: &Path) -> Result<(), Error> {
    for (setting, value) in KUBELET_SETTINGS {
        let file = dir.join(setting.replace('/', "."));
        make_dir(dir)?;
        write(&file, value)?;
        let real = Path::new("/proc/sys").join(setting);
        // A kernel may be built without one of them; the kubelet then says so itself.
        if real.exists() {
            bind(&file, &real)?;
        }
    }
    Ok(())
}

/// Without the machine's name servers, which a node cannot reach, a registry that does not exist is missed at once
/// and not after a time-out.
fn hide_resolver(nobody: &Path) -> Result<(), Error> {
    let resolver = Path::new("/etc/resolv.conf");
    if resolver.exists() {
        bind(nobody, resolver)
    } else {
        Ok(())
    }
}

/// The folders that every `/var` has; what is in them survives a reboot of the node.
fn make_var(var: &Path) -> Result<(), Error> {
    for folder in ["cache", "lib", "log", "tmp"] {
        make_dir(&var.join(folder))?;
    }
    let link = var.join("run");
    if link.exists() {
        Ok(())
    } else {
        symlink("/run", &link).map_err(|source| Error::Files { path: link, source })
    }
}

fn bind(what: &Path, place: &Path) -> Result<(), Error> {
    at(place, mount_bind(what, place))
}

fn make_dir(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(|source| Error::Files {
        path: path.to_owned(),
        source,
    })
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(|source| Error::Files {
        path: path.to_owned(),
        source,
    })
}

fn at(path: impl AsRef<Path>, outcome: Result<(), Errno>) -> Result<(), Error> {
    outcome.map_err(|errno| Error::Files {
        path: path.as_ref().to_owned(),
        source: errno.into(),
    })
}

/// The rest of `path`, which stands beneath `above`.
fn beneath<'path>(path: &'path str, above: &str) -> &'path str {
    path.strip_prefix(above)
        .map_or(path, |rest| rest.trim_start_matches('/'))
}
