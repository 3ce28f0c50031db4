//! The architecture as a test: who may import whom, and what the core must not know.
//!
//! Rule: a new way through the layers is a change of the architecture text first.

use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{UseTree, parse_file};

/// What makes code depend on more than what it is given: clients, clocks, processes, logging.
const IMPURE: &[&str] = &[
    "kube::Client",
    "kube::Api",
    "kube::runtime",
    "kube::client",
    "tokio",
    "tracing",
    "futures",
    "rand",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "Instant",
    "SystemTime",
    "Timestamp::now",
    "Zoned::now",
    "jiff::Timestamp::now",
    "async",
];

/// What the files below a folder must not name, as the beginnings of paths.
const FORBIDDEN: [(&str, &[&[&str]]); 8] = [
    (
        "api",
        &[&[
            "model",
            "crate::controller",
            "crate::runtime",
            "crate::simulate",
            "crate::identify",
            "crate::why",
            "crate::history",
            "kube::Client",
            "kube::Api",
        ]],
    ),
    (
        "model",
        &[
            &[
                "crate::controller",
                "crate::runtime",
                "crate::simulate",
                "crate::identify",
                "crate::why",
            ],
            IMPURE,
        ],
    ),
    (
        "simulate",
        &[
            &["crate::controller", "crate::runtime", "crate::why"],
            IMPURE,
        ],
    ),
    (
        "identify",
        &[
            &[
                "crate::controller",
                "crate::runtime",
                "crate::simulate",
                "crate::why",
            ],
            IMPURE,
        ],
    ),
    (
        "why",
        &[
            &[
                "crate::controller",
                "crate::runtime",
                "crate::simulate",
                "crate::history",
            ],
            IMPURE,
        ],
    ),
    (
        "history",
        &[
            &[
                "crate::controller",
                "crate::runtime",
                "crate::simulate",
                "crate::identify",
                "crate::why",
            ],
            IMPURE,
        ],
    ),
    (
        "controller",
        &[&[
            "crate::simulate",
            "crate::identify",
            "crate::why",
            "crate::history",
        ]],
    ),
    (
        "runtime",
        &[&[
            "crate::api",
            "crate::model",
            "crate::controller",
            "crate::simulate",
            "crate::why",
        ]],
    ),
];

#[test]
fn layers_import_downwards_only_and_the_core_is_pure() {
    let mut broken = Vec::new();
    for (layer, forbidden) in FORBIDDEN {
        for file in files(layer) {
            let named = named(&fs::read_to_string(&file).unwrap(), &module_of(&file));
            let bad = named.iter().filter(|path| is_forbidden(path, forbidden));
            broken.extend(bad.map(|path| format!("{} names {path}", file.display())));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn a_path_is_found_however_it_is_written() {
    let ways = [
        "use crate::controller::Error;",
        "use crate::{api, controller};",
        "use super::super::controller as c;",
        "fn f() { crate::controller::run(); }",
        "use std::time::{Duration, Instant};",
        "fn f() { let now = std::time::Instant::now(); }",
        "fn f() { tracing::info!(\"x\"); }",
        "async fn f() {}",
        "fn f() { let x = async { 1 }; }",
        "fn f() -> jiff::Timestamp { jiff::Timestamp::now() }",
    ];
    let is_found = |source: &str| {
        let named = named(source, &["model", "fault"].map(str::to_owned));
        named.iter().any(|path| is_forbidden(path, FORBIDDEN[1].1))
    };
    for way in ways {
        assert!(is_found(way), "{way}");
    }
    let innocent = "use crate::api::v1alpha1::Tree; use super::controller; mod tests { use super::super::runtime; } \
                    fn f(runtime: u8) -> u8 { runtime }";
    assert!(!is_found(innocent));
}

fn is_forbidden(path: &str, forbidden: &[&[&str]]) -> bool {
    forbidden.iter().copied().flatten().any(|start| {
        path.strip_prefix(start)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    })
}

/// The path of a file's module, below the crate.
fn module_of(file: &Path) -> Vec<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let relative = file.strip_prefix(source).unwrap().with_extension("");
    let parts = relative.components();
    parts
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect()
}

/// Every path that the source of a module names, and `async` when it has anything asynchronous.
fn named(source: &str, module: &[String]) -> Vec<String> {
    let mut names = Names {
        module: module.to_vec(),
        found: Vec::new(),
    };
    names.visit_file(&parse_file(source).unwrap());
    names.found
}

struct Names {
    /// The module that is being read.
    module: Vec<String>,
    found: Vec<String>,
}

impl Names {
    /// Adds a path; one into this crate as it looks from the crate's root.
    fn add(&mut self, segments: &[String]) {
        let up = segments.iter().take_while(|one| *one == "super").count();
        let rest = &segments[up..];
        let is_local = up > 0 || rest.first().is_some_and(|one| one == "self");
        let path = if is_local {
            let above = &self.module[..self.module.len().saturating_sub(up)];
            let rest = rest.iter().filter(|one| *one != "self").cloned();
            [vec!["crate".to_owned()], above.to_vec(), rest.collect()].concat()
        } else {
            rest.to_vec()
        };
        self.found.push(path.join("::"));
    }

    fn add_use(&mut self, tree: &UseTree, before: &[String]) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.add_use(&path.tree, &with(&path.ident)),
            UseTree::Name(name) => self.add(&with(&name.ident)),
            UseTree::Rename(rename) => self.add(&with(&rename.ident)),
            UseTree::Glob(_) => self.add(before),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_use(tree, before);
                }
            }
        }
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_use(&item.tree, &[]);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        self.add(&segments);
        visit::visit_path(self, path);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if signature.asyncness.is_some() {
            self.found.push("async".to_owned());
        }
        visit::visit_signature(self, signature);
    }

    fn visit_expr_async(&mut self, block: &'ast syn::ExprAsync) {
        self.found.push("async".to_owned());
        visit::visit_expr_async(self, block);
    }
}

#[test]
fn every_file_says_what_it_owns() {
    let mut silent = Vec::new();
    for file in files("") {
        let text = fs::read_to_string(&file).unwrap();
        if !text.starts_with("//! ") {
            silent.push(file.display().to_string());
        }
    }
    assert!(
        silent.is_empty(),
        "files without a module doc: {}",
        silent.join(", ")
    );
}

/// The files of a layer: its folder and the file of the same name.
fn files(layer: &str) -> Vec<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let folder = source.join(layer);
    if folder.is_dir() {
        collect(&folder, &mut found);
    }
    let root = source.join(format!("{layer}.rs"));
    if root.is_file() {
        found.push(root);
    }
    assert!(!found.is_empty(), "layer {layer} has files");
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}
