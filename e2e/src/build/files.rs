//! Files that are needed beside a binary: what kwok's nodes and Pods do, the definitions of Argo Rollouts' kinds.
//!
//! Rule: they come from the very module that the binary is built from, so they fit it.

use std::path::{Path, PathBuf};

use super::tools::Tool;
use super::{Error, check_go, go};
use crate::versions::ToolModule;

/// Copies the tool's files out of its module, because the module cache may be emptied at any time.
pub(super) fn copy(tool: &Tool, module: &ToolModule, dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let files: Vec<PathBuf> = tool.files.iter().map(|(name, _)| dir.join(name)).collect();
    if files.iter().all(|file| file.exists()) {
        return Ok(files);
    }
    check_go(tool.name, &module.go)?;
    let output = go(&module.dir)
        .args(["mod", "download", "-json", tool.provider])
        .output();
    let output = output.map_err(|_| Error::NoGo {
        least: module.go.clone(),
    })?;
    let source = serde_json::from_slice::<serde_json::Value>(&output.stdout).ok();
    let source = source.and_then(|answer| Some(PathBuf::from(answer["Dir"].as_str()?)));
    let Some(source) = source else {
        let output = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Error::Go {
            package: tool.provider.to_owned(),
            dir: module.dir.clone(),
            output,
        });
    };
    std::fs::create_dir_all(dir).map_err(|source| Error::Cache {
        path: dir.to_owned(),
        source,
    })?;
    for ((_, folder), file) in tool.files.iter().zip(&files) {
        join(&source.join(folder), file)?;
    }
    Ok(files)
}

/// Joins the YAML documents of one folder into one file.
fn join(folder: &Path, file: &Path) -> Result<(), Error> {
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
