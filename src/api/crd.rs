//! The custom resource definitions as they are installed.
//!
//! Rule: `crds/` holds exactly what this module prints.

#[cfg(test)]
mod cel;
mod finish;
#[cfg(test)]
mod lint;
mod yaml;

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use super::v1alpha1::{SupervisionTree, Worker, tree_name};

/// Every definition of Coppice, in the order in which they are printed.
pub fn all() -> &'static [CustomResourceDefinition] {
    static ALL: LazyLock<[CustomResourceDefinition; 2]> = LazyLock::new(|| {
        [
            finish::finish(SupervisionTree::crd(), &tree_name()),
            finish::finish(Worker::crd(), &[]),
        ]
    });
    ALL.as_slice()
}

/// The definition as it stands in `crds/`.
pub fn to_yaml(crd: &CustomResourceDefinition) -> String {
    yaml::print(crd)
}

/// The name of the file of a definition in `crds/`.
pub fn file_name(crd: &CustomResourceDefinition) -> String {
    format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::{all, file_name, to_yaml};
    use crate::pages::assert_current;

    /// What the API server allows for all annotations of an object together, where client-side
    /// `kubectl apply` keeps the whole definition.
    const ANNOTATIONS_LIMIT: usize = 256 * 1024;

    #[test]
    fn crds_are_current() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
        for crd in all() {
            assert_current(&format!("crds/{}", file_name(crd)), &to_yaml(crd));
        }
        let mut found: Vec<String> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        let expected: Vec<String> = all().iter().map(file_name).collect();
        assert_eq!(
            found, expected,
            "`crds/` holds one file per kind and nothing else"
        );
    }

    #[test]
    fn plain_kubectl_apply_has_room() {
        for crd in all() {
            let size = serde_json::to_string(crd).unwrap().len();
            // An eighth is left for the fields of later versions.
            assert!(
                size < ANNOTATIONS_LIMIT * 7 / 8,
                "{} is {size} bytes",
                file_name(crd)
            );
        }
    }

    #[test]
    fn yaml_reads_back_as_the_same_definition() {
        for crd in all() {
            let read: serde_json::Value = serde_yaml::from_str(&to_yaml(crd)).unwrap();
            let typed = serde_json::from_value(read).unwrap();
            assert_eq!(*crd, typed);
        }
    }
}
