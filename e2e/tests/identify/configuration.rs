//! Containers that cannot be made as their template describes them.
//!
//! Rule: the cause is in the template; nothing about the node is changed.

use serde_json::{Value, json};

use super::expected::fault;
use super::kit::Case;
use super::specs::{idle_app_with, merge};

const WAITING: &str = ".state.waiting.message";
/// A start that failed stands in the state that is, or in the one that was.
const ENDED: &str = ".message";

/// A variable of the environment from that key of that kind of object.
fn from(kind: &str, name: &str, key: &str) -> Value {
    let key = json!({kind: {"name": name, "key": key}});
    json!({"env": [{"name": "X", "valueFrom": key}]})
}

#[tokio::test]
async fn config_map_missing() {
    let case = Case::new("config-map").await;
    case.pod(idle_app_with(from("configMapKeyRef", "settings", "k")))
        .await;
    let expected = fault("ConfigMapMissing", "Hold", "Witnessed");
    case.shows(expected.of("app").by(WAITING, "settings")).await;
}

#[tokio::test]
async fn config_map_missing_for_a_volume() {
    let case = Case::new("config-volume").await;
    let mut spec = idle_app_with(json!({
        "volumeMounts": [{"name": "config", "mountPath": "/config"}],
    }));
    let volume = json!({"name": "config", "configMap": {"name": "settings"}});
    merge(&mut spec, json!({"volumes": [volume]}));
    case.pod(spec).await;
    let expected = fault("ConfigMapMissing", "Hold", "Witnessed");
    case.shows(expected.by("message", "settings")).await;
}

#[tokio::test]
async fn secret_missing() {
    let case = Case::new("secret").await;
    case.pod(idle_app_with(from("secretKeyRef", "password", "k")))
        .await;
    let expected = fault("SecretMissing", "Hold", "Witnessed");
    case.shows(expected.of("app").by(WAITING, "password")).await;
}

#[tokio::test]
async fn config_key_missing() {
    let case = Case::new("config-key").await;
    case.apply(&[json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings"},
        "data": {"here": "1"},
    })]);
    case.pod(idle_app_with(from(
        "configMapKeyRef",
        "settings",
        "elsewhere",
    )))
    .await;
    let expected = fault("ConfigKeyMissing", "Hold", "Witnessed");
    case.shows(expected.of("app").by(WAITING, "elsewhere"))
        .await;
}

#[tokio::test]
async fn run_as_non_root_violation() {
    let case = Case::new("non-root").await;
    let context = json!({"runAsNonRoot": true, "runAsUser": 0});
    case.pod(idle_app_with(json!({"securityContext": context})))
        .await;
    let expected = fault("RunAsNonRootViolation", "Hold", "Witnessed");
    case.shows(expected.of("app").by(WAITING, "non-root")).await;
}

#[tokio::test]
async fn command_not_found() {
    let case = Case::new("command").await;
    case.pod(idle_app_with(json!({"command": ["/bin/not-there"]})))
        .await;
    let expected = fault("CommandNotFound", "Hold", "Witnessed");
    case.shows(expected.of("app").by(ENDED, "/bin/not-there"))
        .await;
}

#[tokio::test]
async fn command_not_executable() {
    let case = Case::new("executable").await;
    case.apply(&[json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "scripts"},
        "data": {"run": "#!/bin/sh\n"},
    })]);
    let mut spec = idle_app_with(json!({
        "command": ["/scripts/run"],
        "volumeMounts": [{"name": "scripts", "mountPath": "/scripts"}],
    }));
    let volume = json!({"name": "scripts", "configMap": {"name": "scripts", "defaultMode": 0o644}});
    merge(&mut spec, json!({"volumes": [volume]}));
    case.pod(spec).await;
    let expected = fault("CommandNotExecutable", "Hold", "Witnessed");
    case.shows(expected.of("app").by(ENDED, "permission denied"))
        .await;
}

#[tokio::test]
async fn image_platform_mismatch_of_a_program() {
    let case = Case::new("exec-format").await;
    let mut spec = idle_app_with(json!({
        "command": ["/programs/run"],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "programs", "mountPath": "/programs"}],
    }));
    case.apply(&[json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "programs"},
        "data": {"run": "a program for some other machine\n"},
    })]);
    let volume =
        json!({"name": "programs", "configMap": {"name": "programs", "defaultMode": 0o755}});
    merge(&mut spec, json!({"volumes": [volume]}));
    case.pod(spec).await;
    let expected = fault("ImagePlatformMismatch", "Hold", "Witnessed");
    case.shows(expected.of("app").by(ENDED, "exec format error"))
        .await;
}

#[tokio::test]
async fn working_dir_invalid() {
    let case = Case::new("working-dir").await;
    case.pod(idle_app_with(json!({"workingDir": "/bin/busybox/inside"})))
        .await;
    let expected = fault("WorkingDirInvalid", "Hold", "Witnessed");
    case.shows(expected.of("app").by(ENDED, "/bin/busybox"))
        .await;
}

#[tokio::test]
async fn mount_target_conflict() {
    let case = Case::new("mount-target").await;
    let mut spec = idle_app_with(json!({
        "volumeMounts": [{"name": "data", "mountPath": "/bin/busybox"}],
    }));
    merge(
        &mut spec,
        json!({"volumes": [{"name": "data", "emptyDir": {}}]}),
    );
    case.pod(spec).await;
    let expected = fault("MountTargetConflict", "Hold", "Witnessed");
    case.shows(expected.of("app").by(ENDED, "/bin/busybox"))
        .await;
}

#[tokio::test]
async fn sub_path_failed() {
    let case = Case::new("sub-path").await;
    case.apply(&[json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings"},
        "data": {"file": "1"},
    })]);
    let mut spec = idle_app_with(json!({
        "volumeMounts": [{"name": "config", "mountPath": "/config", "subPath": "file/inside"}],
    }));
    let volume = json!({"name": "config", "configMap": {"name": "settings"}});
    merge(&mut spec, json!({"volumes": [volume]}));
    case.pod(spec).await;
    let expected = fault("SubPathFailed", "Hold", "Witnessed");
    case.shows(expected.of("app").by(WAITING, "subPath")).await;
}

#[tokio::test]
async fn security_profile_missing() {
    let case = Case::new("seccomp").await;
    let profile = json!({"type": "Localhost", "localhostProfile": "not-there.json"});
    let context = json!({"seccompProfile": profile});
    case.pod(idle_app_with(json!({"securityContext": context})))
        .await;
    let expected = fault("SecurityProfileMissing", "Hold", "Witnessed");
    case.shows(expected.of("app").by(WAITING, "seccomp")).await;
}
