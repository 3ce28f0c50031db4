//! A cluster that somebody else runs: the current context of the user's kubeconfig, as `kubectl` would use it.
//!
//! Rule: it needs neither Go nor root; what the harness starts for it (processes, files) still ends with it.

use std::path::PathBuf;

use kube::config::Kubeconfig;

use crate::build::Binaries;
use crate::cluster::{Cluster, Error, Profile};
use crate::session::Session;
use crate::{cache, images, pki};

/// Whether the environment says `CLUSTER=current`.
pub fn is_wanted() -> bool {
    std::env::var_os("CLUSTER").is_some_and(|value| value == "current")
}

/// The workload image to use: `IMAGE` of the environment, else the one that the harness gives its nodes.
pub fn workload_image() -> String {
    let set = std::env::var("IMAGE")
        .ok()
        .filter(|image| !image.is_empty());
    set.unwrap_or_else(|| images::WORKLOAD.to_owned())
}

impl Cluster {
    /// The current cluster when `CLUSTER=current`, else a new one.
    pub async fn start_or_current(profile: Profile) -> Result<Self, Error> {
        if is_wanted() {
            Self::current().await
        } else {
            Self::start(profile).await
        }
    }

    /// The cluster of the current context. `kubectl` and `helm` are those on the `PATH`.
    pub async fn current() -> Result<Self, Error> {
        let config = Kubeconfig::read().map_err(|error| Error::Kubeconfig {
            path: named(),
            source: error.into(),
        })?;
        Self::of_kubeconfig(config).await
    }

    /// The cluster of the current context of `config`.
    pub async fn of_kubeconfig(config: Kubeconfig) -> Result<Self, Error> {
        let cache = cache::folder().map_err(Error::Cache)?;
        let session = Session::separate(&cache, "current", Binaries::none())
            .await
            .map_err(Error::Session)?;
        // A copy, so that every program uses this cluster even if the user switches contexts meanwhile.
        let path = session.run().dir().join("current.kubeconfig");
        let failed = |source| Error::Kubeconfig {
            path: path.clone(),
            source,
        };
        let text = serde_yaml::to_string(&config).map_err(|error| failed(error.into()))?;
        pki::write_private(&path, &text).map_err(|error| failed(error.into()))?;
        Self::borrowed(session, path).await
    }
}

/// What the user calls the kubeconfig, for messages.
fn named() -> PathBuf {
    std::env::var_os("KUBECONFIG").map_or_else(|| PathBuf::from("~/.kube/config"), PathBuf::from)
}
