//! Images that a node cannot get.
//!
//! Rule: nothing outside of the cluster is asked; [`registry`] is the registry.

use serde_json::{Value, json};

use super::expected::fault;
use super::kit::Case;
use super::registry;
use super::specs::{idle_app_with, merge};

/// The spec of a Pod with that image, on the node that reaches the registry.
fn with_image(image: &str) -> Value {
    let mut spec = idle_app_with(json!({"image": image, "imagePullPolicy": "Always"}));
    let selector = json!({"kubernetes.io/hostname": registry::NODE});
    merge(&mut spec, json!({"nodeSelector": selector}));
    spec
}

/// A Pod whose image the registry answers for.
async fn pulls(name: &str) -> Case {
    let image = registry::image(name).await;
    let case = Case::new(name).await;
    case.pod(with_image(&image)).await;
    case
}

const MESSAGE: &str = ".state.waiting.message";

#[tokio::test]
async fn image_not_found() {
    let case = pulls("missing").await;
    let expected = fault("ImageNotFound", "Hold", "Witnessed");
    case.shows(expected.of("app").by(MESSAGE, "not found"))
        .await;
}

#[tokio::test]
async fn image_unauthorized() {
    let case = pulls("private").await;
    let expected = fault("ImageUnauthorized", "Hold", "Witnessed");
    case.shows(expected.of("app").by(MESSAGE, "401")).await;
}

#[tokio::test]
async fn image_rate_limited() {
    let case = pulls("limited").await;
    let expected = fault("ImageRateLimited", "Wait", "Witnessed");
    case.shows(expected.of("app").by(MESSAGE, "429")).await;
}

#[tokio::test]
async fn registry_unavailable_because_it_fails() {
    let case = pulls("broken").await;
    let expected = fault("RegistryUnavailable", "Wait", "Witnessed");
    case.shows(expected.of("app").by(MESSAGE, "503")).await;
}

#[tokio::test]
async fn registry_unavailable_because_nobody_listens() {
    let case = Case::new("no-registry").await;
    case.pod(with_image("127.0.0.1:9/x:1")).await;
    let expected = fault("RegistryUnavailable", "Wait", "Witnessed");
    case.shows(expected.of("app").by(MESSAGE, "connection refused"))
        .await;
}

#[tokio::test]
async fn registry_tls_untrusted() {
    let case = Case::new("untrusted").await;
    // Images are not what the API server has, but nodes do not come so far as to ask for one.
    let control_plane = case.space.cluster.control_plane().expect("ours");
    let host = control_plane.server().trim_start_matches("https://");
    case.pod(with_image(&format!("{host}/x:1"))).await;
    let expected = fault("RegistryTlsUntrusted", "Hold", "Witnessed");
    case.shows(expected.of("app").by(MESSAGE, "x509")).await;
}

#[tokio::test]
async fn image_platform_mismatch() {
    let case = pulls("foreign").await;
    let expected = fault("ImagePlatformMismatch", "Hold", "Witnessed");
    case.shows(expected.of("app").by(MESSAGE, "no match for platform"))
        .await;
}

#[tokio::test]
async fn image_pull_secret_missing() {
    let image = registry::image("private").await;
    let case = Case::new("pull-secret").await;
    let mut spec = with_image(&image);
    merge(
        &mut spec,
        json!({"imagePullSecrets": [{"name": "not-there"}]}),
    );
    case.pod(spec).await;
    let expected = fault("ImagePullSecretMissing", "Hold", "Witnessed");
    case.shows(expected.of("app").by("message", "not-there"))
        .await;
}

#[tokio::test]
async fn image_volume_pull_failed() {
    let image = registry::image("missing").await;
    let case = Case::new("image-volume").await;
    let mut spec = idle_app_with(json!({
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }));
    let volume = json!({"name": "data", "image": {"reference": image}});
    let selector = json!({"kubernetes.io/hostname": registry::NODE});
    merge(
        &mut spec,
        json!({"volumes": [volume], "nodeSelector": selector}),
    );
    case.pod(spec).await;
    let expected = fault("ImageVolumePullFailed", "Hold", "Witnessed");
    case.shows(expected.of("app").by(MESSAGE, "not found"))
        .await;
}

#[tokio::test]
async fn image_name_invalid() {
    let case = Case::new("image-name").await;
    case.pod(with_image("Not A Name")).await;
    let expected = fault("ImageNameInvalid", "Hold", "Proved");
    case.shows(
        expected
            .of("app")
            .by(".state.waiting.reason", "InvalidImageName"),
    )
    .await;
}

#[tokio::test]
async fn image_never_pull() {
    let case = Case::new("never").await;
    let mut spec = with_image("coppice.test/not-there:1");
    spec["containers"][0]["imagePullPolicy"] = json!("Never");
    case.pod(spec).await;
    let expected = fault("ImageNeverPull", "Hold", "Proved");
    case.shows(
        expected
            .of("app")
            .by(".state.waiting.reason", "ErrImageNeverPull"),
    )
    .await;
}
