//! Kubeconfig texts: whole in themselves, so that a copy works anywhere on this machine.
//!
//! Rule: every kubeconfig carries the authority's certificate; none turns verification off.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use crate::pki::Identity;

/// What a client proves its identity with.
#[derive(Clone)]
pub enum Credential {
    /// A client certificate.
    Certificate(Identity),
    /// A bearer token, such as a service account's.
    Token(String),
}

/// The kubeconfig text for the API server at `server` whose certificate is signed by `ca` (in PEM).
pub fn text(server: &str, ca: &str, credential: &Credential) -> String {
    let encode = |pem: &str| BASE64_STANDARD.encode(pem);
    let user = match credential {
        Credential::Certificate(identity) => json!({
            "client-certificate-data": encode(&identity.certificate),
            "client-key-data": encode(&identity.key),
        }),
        Credential::Token(token) => json!({ "token": token }),
    };
    // JSON is YAML, and every client reads it.
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "coppice", "cluster": {"server": server, "certificate-authority-data": encode(ca)}}],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "coppice", "context": {"cluster": "coppice", "user": "user"}}],
        "current-context": "coppice",
    });
    format!("{config:#}\n")
}
