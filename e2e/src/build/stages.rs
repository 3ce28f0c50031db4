//! kwok's Stage files, which say what simulated nodes and Pods do.
//!
//! Rule: they come from the very module that kwok is built from, so they fit it.

use std::path::{Path, PathBuf};

use super::{Error, check_go, go};
use crate::versions::ToolModule;

/// Copies kwok's Stage files out of its module, because the module cache may be emptied at any time.
pub(super) fn kwok_stages(module: &ToolModule, dir: &Path) -> Result<Vec<PathBuf>, Error> {
    const STAGES: [&str; 3] = ["node/fast", "node/heartbeat-with-lease", "pod/fast"];
    let file = |stage: &str| dir.join(format!("stage-{}.yaml", stage.replace('/', "-")));
    let files: Vec<PathBuf> = STAGES.iter().map(|stage| file(stage)).collect();
    if files.iter().all(|file| file.exists()) {
        return Ok(files);
    }
    check_go("kwok", &module.go)?;
    let output = go(&module.dir)
        .args(["mod", "download", "-json", "sigs.k8s.io/kwok"])
        .output();
    let output = output.map_err(|_| Error::NoGo {
        least: module.go.clone(),
    })?;
    let source = serde_json::from_slice::<serde_json::Value>(&output.stdout).ok();
    let source = source.and_then(|answer| Some(PathBuf::from(answer["Dir"].as_str()?)));
    let Some(source) = source else {
        let output = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Error::Go {
            package: "sigs.k8s.io/kwok".to_owned(),
            dir: module.dir.clone(),
            output,
        });
    };
    std::fs::create_dir_all(dir).map_err(|source| Error::Cache {
        path: dir.to_owned(),
        source,
    })?;
    for stage in STAGES {
        copy_stage(&source.join("kustomize/stage").join(stage), &file(stage))?;
    }
    Ok(files)
}

/// Joins the YAML documents of one stage folder into one file.
fn copy_stage(folder: &Path, file: &Path) -> Result<(), Error> {
    let read = || -> std::io::Result<String> {
        let mut texts = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let is_yaml = path
                .extension()
                .is_some_and(|extension| extension == "yaml");
            let is_list = path.file_stem().is_some_and(|stem| stem == "kustomization");
            if is_yaml && !is_list {
                texts.push(std::fs::read_to_string(&path)?);
            }
        }
        Ok(texts.join("\n---\n"))
    };
    let partial = file.with_extension(format!("partial-{}", std::process::id()));
    let write = |text: String| {
        std::fs::write(&partial, text).and_then(|()| std::fs::rename(&partial, file))
    };
    read().and_then(write).map_err(|source| Error::Cache {
        path: file.to_owned(),
        source,
    })
}
