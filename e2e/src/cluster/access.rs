//! Ways into a cluster: clients, kubeconfigs, namespaces, programs that use it.
//!
//! Rule: every call has a deadline, and every credential is one that the cluster itself verifies.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleRef, Subject};
use kube::api::{ObjectMeta, PostParams};
use kube::config::{AuthInfo, Kubeconfig};
use kube::{Api, Client};

use super::{Cluster, Error};
use crate::control_plane::{self, ControlPlane};
use crate::pki;

/// How long a call of the harness may take.
pub const ACCESS_TIMEOUT: Duration = Duration::from_secs(30);

impl Cluster {
    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A client with the administrator's rights, without retries of its own. It belongs to the runtime it is made in,
    /// so make one in every test, also when tests share a cluster.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub fn client(&self) -> Client {
        Client::try_from(self.config.clone())
            .expect("the same configuration made a client when the cluster started")
    }

    /// The audit log; `None` on somebody else's cluster. One JSON object per line, level `Metadata` (`Request` for
    /// deletes of Pods and of ours), with the user and the user agent; written when a response is complete (and when a watch begins).
    pub fn audit_log(&self) -> Option<&Path> {
        self.control_plane.as_ref().map(ControlPlane::audit_log)
    }

    /// The binary `name` of the build, such as `kubectl` or `helm`, ready to run against this cluster.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.session.run().binaries().path(name));
        command.env("KUBECONFIG", &self.kubeconfig);
        command
    }

    /// Writes a kubeconfig for the user `user` in the groups `groups`, who proves it with a client certificate.
    pub fn kubeconfig_for(&self, user: &str, groups: &[&str]) -> Result<PathBuf, Error> {
        let control_plane = self.ours("certify a user")?;
        let text = control_plane
            .kubeconfig_for(user, groups)
            .map_err(Error::ControlPlane)?;
        self.write_kubeconfig(user, &text)
    }

    /// Writes a kubeconfig for a service account, by a token of its own that is valid for `lifetime` (at least 10 min).
    pub async fn kubeconfig_for_service_account(
        &self,
        namespace: &str,
        name: &str,
        lifetime: Duration,
    ) -> Result<PathBuf, Error> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client(), namespace);
        let seconds = i64::try_from(lifetime.as_secs()).ok();
        let spec = TokenRequestSpec {
            expiration_seconds: seconds,
            ..TokenRequestSpec::default()
        };
        let request = TokenRequest {
            spec: Some(spec),
            ..TokenRequest::default()
        };
        let object = format!("a token for the ServiceAccount {namespace}/{name}");
        let parameters = PostParams::default();
        let answer = accounts.create_token_request(name, &parameters, &request);
        let token = self
            .bounded("request", &object, answer)
            .await?
            .status
            .and_then(|status| status.token);
        let text = self.with_token(&token.unwrap_or_default())?;
        self.write_kubeconfig(&format!("{namespace}-{name}"), &text)
    }

    /// This cluster's kubeconfig with a token in place of the administrator's credentials.
    fn with_token(&self, token: &str) -> Result<String, Error> {
        let mut config = Kubeconfig::read_from(&self.kubeconfig)
            .map_err(|error| self.kubeconfig_error(error.into()))?;
        for user in &mut config.auth_infos {
            user.auth_info = Some(AuthInfo {
                token: Some(token.to_owned().into()),
                ..AuthInfo::default()
            });
        }
        serde_yaml::to_string(&config).map_err(|error| self.kubeconfig_error(error.into()))
    }

    fn kubeconfig_error(&self, source: Box<dyn std::error::Error + Send + Sync>) -> Error {
        Error::Kubeconfig {
            path: self.kubeconfig.clone(),
            source,
        }
    }

    fn write_kubeconfig(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        let name: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let path = self.run().dir().join(format!("user-{name}.kubeconfig"));
        match pki::write_private(&path, text) {
            Ok(()) => Ok(path),
            Err(error) => Err(Error::Kubeconfig {
                path,
                source: error.into(),
            }),
        }
    }

    /// A client from a kubeconfig that this cluster wrote.
    pub async fn client_from(&self, kubeconfig: &Path) -> Result<Client, Error> {
        control_plane::client(kubeconfig)
            .await
            .map_err(Error::ControlPlane)
    }

    /// Makes a namespace with a name that begins with `prefix`, in which Pods can be created at once: it has its
    /// default service account, also where no controller makes one. Returns its name.
    pub async fn namespace(&self, prefix: &str) -> Result<String, Error> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{prefix}-{}-{number}", std::process::id());
        let namespace = Namespace {
            metadata: named(&name),
            ..Namespace::default()
        };
        let namespaces: Api<Namespace> = Api::all(self.client());
        self.bounded(
            "create",
            &format!("the namespace {name}"),
            namespaces.create(&PostParams::default(), &namespace),
        )
        .await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client(), &name);
        let account = ServiceAccount {
            metadata: named("default"),
            ..ServiceAccount::default()
        };
        let object = format!("the ServiceAccount {name}/default");
        match self
            .bounded(
                "create",
                &object,
                accounts.create(&PostParams::default(), &account),
            )
            .await
        {
            // The controller was faster.
            Err(Error::Api { source, .. }) if is_conflict(&source) => Ok(name),
            outcome => outcome.map(|_| name),
        }
    }

    /// Kubelets ask the API server whether it may use them; Kubernetes has the role for it, but not the binding.
    pub(super) async fn let_the_api_server_use_kubelets(&self) -> Result<(), Error> {
        let role = "system:kubelet-api-admin";
        let binding = ClusterRoleBinding {
            metadata: named("kube-apiserver-kubelet-client"),
            role_ref: RoleRef {
                api_group: Some("rbac.authorization.k8s.io".to_owned()),
                kind: "ClusterRole".to_owned(),
                name: role.to_owned(),
            },
            subjects: Some(vec![Subject {
                api_group: Some("rbac.authorization.k8s.io".to_owned()),
                kind: "User".to_owned(),
                name: control_plane::KUBELET_CLIENT.to_owned(),
                namespace: None,
            }]),
        };
        let bindings: Api<ClusterRoleBinding> = Api::all(self.client());
        let object = format!("the ClusterRoleBinding to {role}");
        self.bounded(
            "create",
            &object,
            bindings.create(&PostParams::default(), &binding),
        )
        .await
        .map(drop)
    }

    pub(super) async fn bounded<T>(
        &self,
        verb: &'static str,
        object: &str,
        call: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Error> {
        let object = object.to_owned();
        match tokio::time::timeout(ACCESS_TIMEOUT, call).await {
            Ok(outcome) => outcome.map_err(|source| Error::Api {
                verb,
                object,
                source: Box::new(source),
            }),
            Err(_) => Err(Error::Timeout { verb, object }),
        }
    }
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    }
}

fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}
