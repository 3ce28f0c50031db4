//! A registry that refuses: a Pod on the network of its node, which answers each request by the name of the image.
//!
//! Rule: nodes reach it as `127.0.0.1`, which is the only address that containerd asks without TLS.

use serde_json::json;
use tokio::sync::OnceCell;

use super::kit::Case;
use super::specs::{app_with, merge};

/// The node whose Pods reach the registry.
pub const NODE: &str = "node-a";
/// The registry's port on that node.
pub const PORT: u16 = 5055;

/// Answers one request. What is asked for is judged by the name of the image alone.
const ANSWER: &str = r#"#!/bin/sh
read -r method path rest
while read -r line && [ ${#line} -gt 1 ]; do :; done
answer() {
	printf 'HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %s\r\nConnection: close\r\n\r\n' "$1" "$2" "${#3}"
	[ "$method" = HEAD ] || printf %s "$3"
}
error() { answer "$1" application/json "{\"errors\":[{\"code\":\"$2\",\"message\":\"$3\"}]}"; }
case $path in
*/missing/*) error '404 Not Found' MANIFEST_UNKNOWN 'manifest unknown' ;;
*/private/*) error '401 Unauthorized' UNAUTHORIZED 'authentication required' ;;
*/limited/*) error '429 Too Many Requests' TOOMANYREQUESTS 'too many requests' ;;
*/broken/*) error '503 Service Unavailable' UNAVAILABLE 'service unavailable' ;;
*/foreign/*)
	of='{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":2,"platform":{"architecture":"s390x","os":"linux"},"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}'
	type=application/vnd.oci.image.index.v1+json
	case $method$path in
	HEAD*) error '405 Method Not Allowed' UNSUPPORTED 'ask with GET' ;;
	*) answer '200 OK' $type "{\"schemaVersion\":2,\"mediaType\":\"$type\",\"manifests\":[$of]}" ;;
	esac ;;
*) answer '200 OK' application/json '{}' ;;
esac
"#;

/// The name of an image of the registry, once it answers; nodes other than [`NODE`] do not reach it.
pub async fn image(name: &str) -> String {
    static STARTED: OnceCell<()> = OnceCell::const_new();
    STARTED.get_or_init(start).await;
    format!("127.0.0.1:{PORT}/{name}:1")
}

async fn start() {
    let case = Case::new("registry").await;
    let listen = format!(
        "cat >/run/workload/answer <<'END'\n{ANSWER}END\nchmod +x /run/workload/answer\nexec nc -ll -p {PORT} -e /run/workload/answer"
    );
    let probe = json!({"httpGet": {"path": "/v2/", "port": PORT}, "periodSeconds": 1});
    let mut spec = app_with(&listen, json!({"readinessProbe": probe}));
    merge(
        &mut spec,
        json!({"hostNetwork": true, "nodeSelector": {"kubernetes.io/hostname": NODE}}),
    );
    case.pod(spec).await;
    case.space
        .kubectl(&["wait", "pod/p", "--for=condition=Ready", "--timeout=60s"]);
}
