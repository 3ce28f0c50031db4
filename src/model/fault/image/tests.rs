//! What is said of images that cannot be had.
//!
//! Rule: each text stands as a component has written it.

use super::*;
use crate::model::fault::testing::{PodBuilder, at, container, event, pod, proof};

#[test]
fn what_a_failed_pull_says() {
    use Class as C;
    let table = [
        (
            "rpc error: code = NotFound desc = failed to pull and unpack image \"docker.io/library/nosuch:1\": failed to resolve reference \"docker.io/library/nosuch:1\": docker.io/library/nosuch:1: not found",
            C::ImageNotFound,
        ),
        (
            "rpc error: code = NotFound desc = failed to pull and unpack image \"x\": no match for platform in manifest: not found",
            C::ImagePlatformMismatch,
        ),
        (
            "failed to resolve reference \"x\": pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed",
            C::ImageNotFoundOrUnauthorized,
        ),
        (
            "failed to authorize: failed to fetch oauth token: unexpected status: 401 Unauthorized",
            C::ImageUnauthorized,
        ),
        (
            "unexpected status code 429 Too Many Requests - Server message: toomanyrequests: You have reached your unauthenticated pull rate limit",
            C::ImageRateLimited,
        ),
        (
            "failed to do request: Head \"https://r/v2\": tls: failed to verify certificate: x509: certificate signed by unknown authority",
            C::RegistryTlsUntrusted,
        ),
        (
            "failed to do request: Head \"https://r/v2\": dial tcp: lookup r on 10.0.0.10:53: no such host",
            C::RegistryHostNotFound,
        ),
        (
            "failed to do request: Head \"https://r/v2\": dial tcp 10.1.1.1:443: connect: connection refused",
            C::RegistryUnavailable,
        ),
        (
            "failed to copy: httpReadSeeker: unexpected status code: 503 Service Unavailable",
            C::RegistryUnavailable,
        ),
        (
            "failed to extract layer: write /x: no space left on device",
            C::ImageNoSpace,
        ),
        (
            "rpc error: code = DeadlineExceeded desc = context deadline exceeded",
            C::ImagePullTimeout,
        ),
        ("", C::ImagePullFailed),
    ];
    for (text, class) in table {
        let backed_off = format!("Back-off pulling image \"x\": ErrImagePull: {text}");
        for (reason, message) in [("ErrImagePull", text), ("ImagePullBackOff", &backed_off)] {
            assert_eq!(waiting(reason, message).unwrap().0, class, "{message}");
        }
    }
}

#[test]
fn an_image_named_like_an_error_proves_nothing() {
    let message = "Back-off pulling image \"registry/not found: unauthorized\"";
    assert_eq!(
        waiting("ImagePullBackOff", message),
        Some((Class::ImagePullFailed, Confidence::Rest))
    );
}

#[test]
fn reasons_that_need_no_text() {
    for (reason, class) in REASONS {
        assert_eq!(
            waiting(reason, "not found"),
            Some((*class, Confidence::Proved))
        );
    }
    assert_eq!(waiting("ContainerCreating", "not found"), None);
}

const NO_HOST: &str = "Failed to pull image \"r/x\": failed to do request: Head \"https://r/v2\": dial tcp: lookup r: no such host";

/// A Pod that an old kubelet tells of: the status does not say why the pull failed.
fn backed_off() -> PodBuilder {
    pod("p").waiting("ImagePullBackOff", "Back-off pulling image \"r/x\"")
}

fn failed(message: &str, seconds: i64) -> EventView {
    event("Failed", message)
        .of("p")
        .in_container("main")
        .at(seconds)
}

#[test]
fn the_event_that_says_why_a_pull_failed_is_the_cause_and_those_after_it_are_not() {
    let fault = backed_off()
        .told([
            failed(NO_HOST, 10),
            failed("Error: ErrImagePull", 11),
            failed("Error: ImagePullBackOff", 20),
        ])
        .fault(60);
    assert_eq!(
        (fault.class, fault.confidence, fault.verdict),
        (
            Class::RegistryHostNotFound,
            Confidence::Witnessed,
            Verdict::Hold
        )
    );
    let said = proof("Event Failed of Pod p", "message", NO_HOST);
    assert!(fault.proofs.contains(&said), "{:?}", fault.proofs);
    assert!(fault.message.ends_with("no such host"), "{}", fault.message);
}

#[test]
fn a_pull_that_nothing_explains_is_only_known_to_have_failed() {
    let fault = backed_off().alone().fault(60);
    assert_eq!(
        (fault.class, fault.confidence),
        (Class::ImagePullFailed, Confidence::Rest)
    );
    let of_side = failed(NO_HOST, 10).in_container("side");
    let fault = backed_off().told([of_side]).fault(60);
    assert_eq!(fault.class, Class::ImagePullFailed);
}

#[test]
fn what_the_status_says_counts_more_than_events() {
    let waits = pod("p").waiting("ErrImagePull", "manifest unknown");
    let fault = waits.told([failed(NO_HOST, 10)]).fault(60);
    assert_eq!(fault.class, Class::ImageNotFound);
    let said = proof(
        "Pod p",
        "status.containerStatuses[main].state.waiting.message",
        "manifest unknown",
    );
    assert!(fault.proofs.contains(&said), "{:?}", fault.proofs);
}

#[test]
fn texts_that_other_versions_and_registries_write() {
    use Class as C;
    for (text, class) in [
        (
            "no matching manifest for linux/arm64 in the manifest list entries: not found",
            C::ImagePlatformMismatch,
        ),
        (
            "failed to resolve: rate limit exceeded",
            C::ImageRateLimited,
        ),
        (
            "http: server gave HTTP response to HTTPS client",
            C::RegistryTlsUntrusted,
        ),
        (
            "tls: certificate has expired or is not yet valid",
            C::RegistryTlsUntrusted,
        ),
        ("no basic auth credentials", C::ImageUnauthorized),
        (
            "denied: Your authorization token has expired. Reauthenticate and try again.",
            C::ImageUnauthorized,
        ),
        ("unexpected status: 403 Forbidden", C::ImageUnauthorized),
        ("dial tcp 10.0.0.1:443: i/o timeout", C::RegistryUnavailable),
        ("net/http: TLS handshake timeout", C::RegistryUnavailable),
        (
            "lookup r on 10.0.0.10:53: server misbehaving",
            C::RegistryUnavailable,
        ),
        ("lookup r: Try again", C::RegistryUnavailable),
        (
            "unexpected status: 500 Internal Server Error",
            C::RegistryUnavailable,
        ),
        (
            "manifest for r/x:1 not found: manifest unknown",
            C::ImageNotFound,
        ),
        (
            "name unknown: repository r/x is not known",
            C::ImageNotFound,
        ),
        ("context canceled", C::ImagePullTimeout),
    ] {
        assert_eq!(of_text(text), Some(class), "{text}");
    }
}

#[test]
fn a_volume_that_is_an_image_is_told_with_what_the_pull_was_answered() {
    for reason in ["Failed", "FailedMount"] {
        let told = event(
            reason,
            "Failed to pull image \"r/model:1\": r/model:1: not found",
        )
        .of("p")
        .at(10);
        let with_volume = |names: &[&str]| {
            let volumes = names.iter().map(|name| of_image(name, "models/large:1"));
            let told = pod("p").told([told.clone()]);
            told.but_spec(|spec| spec.image_volumes = volumes.collect())
                .fault(30)
        };
        let fault = with_volume(&["model"]);
        assert_eq!(
            (fault.class, fault.confidence, fault.verdict),
            (
                Class::ImageVolumePullFailed,
                Confidence::Witnessed,
                Verdict::Hold
            ),
            "{reason}"
        );
        assert_eq!(fault.contributing, [Class::ImageNotFound]);
        assert!(
            fault
                .message
                .starts_with("the image of volume model cannot be pulled")
        );
        assert_ne!(with_volume(&[]).class, Class::ImageVolumePullFailed);
    }
}

/// A volume whose source is an image.
fn of_image(name: &str, image: &str) -> ImageVolumeView {
    ImageVolumeView {
        name: name.to_owned(),
        image: image.to_owned(),
    }
}

#[test]
fn a_container_that_waits_for_the_image_of_a_volume_says_which_image() {
    let said = "Back-off pulling image \"127.0.0.1:5055/missing:1\": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image \"127.0.0.1:5055/missing:1\": failed to resolve image: 127.0.0.1:5055/missing:1: not found";
    let with_volume = |image| {
        let waits = pod("p").waiting("ImagePullBackOff", said).alone();
        waits
            .but_spec(|spec| spec.image_volumes = vec![of_image("data", image)])
            .fault(30)
    };
    for image in ["127.0.0.1:5055/missing:1", "missing:1"] {
        let fault = with_volume(image);
        assert_eq!(
            (fault.class, fault.confidence, fault.verdict),
            (
                Class::ImageVolumePullFailed,
                Confidence::Witnessed,
                Verdict::Hold
            ),
            "{image}"
        );
        assert_eq!(fault.contributing, [Class::ImageNotFound]);
        let head = "the image of volume data cannot be pulled: rpc error";
        assert!(fault.message.starts_with(head), "{}", fault.message);
    }
    for image in ["other:1", "", "sing:1"] {
        assert_eq!(with_volume(image).class, Class::ImageNotFound, "{image}");
    }
}

#[test]
fn another_volume_that_is_missing_is_not_the_image() {
    let missing = "MountVolume.SetUp failed for volume \"c\" : configmap \"settings\" not found";
    let told = pod("p").told([event("FailedMount", missing).of("p").at(10)]);
    let told = told.but_spec(|spec| spec.image_volumes = vec![of_image("model", "models/large:1")]);
    assert_eq!(told.fault(30).class, Class::ConfigMapMissing);
}

#[test]
fn a_secret_that_is_missing_explains_only_a_pull_that_was_refused() {
    let secret = || {
        event(
            "FailedToRetrieveImagePullSecret",
            "Unable to retrieve some image pull secrets (regcred); attempting to pull the image may not succeed.",
        )
        .of("p")
        .at(5)
    };
    let waits = |text| {
        pod("p")
            .waiting("ErrImagePull", text)
            .told([secret()])
            .fault(30)
    };
    for (text, refused) in [
        (
            "unexpected status: 401 Unauthorized",
            Class::ImageUnauthorized,
        ),
        (
            "pull access denied, repository does not exist or may require authorization",
            Class::ImageNotFoundOrUnauthorized,
        ),
        ("", Class::ImagePullFailed),
    ] {
        let fault = waits(text);
        assert_eq!(
            (fault.class, fault.confidence, fault.verdict),
            (
                Class::ImagePullSecretMissing,
                Confidence::Witnessed,
                Verdict::Hold
            ),
            "{text}"
        );
        assert_eq!(fault.contributing, [refused]);
        let told = fault.proofs.last().map(|proof| proof.value.as_str());
        assert_eq!(told, Some(secret().message.as_str()));
    }
    let missing = waits("manifest unknown");
    assert_eq!(missing.class, Class::ImageNotFound);
    assert_eq!(missing.contributing, [Class::ImagePullSecretMissing]);
    let pulled = pod("p").ready(at(10)).told([secret()]).fault(30);
    assert_eq!(pulled.class, Class::NoFault);
    assert_eq!(pulled.contributing, [Class::ImagePullSecretMissing]);
}

#[test]
fn an_init_container_without_an_image_is_told_where_it_stands() {
    let init = container("setup").waiting("ErrImagePull", "manifest unknown");
    let fault = pod("p").init(init).alone().fault(30);
    assert_eq!(fault.class, Class::ImageNotFound);
    assert_eq!(
        fault.proofs.first(),
        Some(&proof(
            "Pod p",
            "status.initContainerStatuses[setup].state.waiting.reason",
            "ErrImagePull"
        ))
    );
}

#[test]
fn an_image_that_is_being_pulled_is_on_its_way_for_ten_minutes() {
    let pulls = event("Pulling", "Pulling image \"r/x\"").of("p").at(10);
    let scene = pod("p").told([pulls]);
    assert_eq!(scene.fault(609).class, Class::NoFault);
    let fault = scene.fault(610);
    assert_eq!(
        (fault.class, fault.confidence, fault.at),
        (Class::ImagePullTimeout, Confidence::Inferred, Some(at(10)))
    );
    for later in ["Pulled", "Failed"] {
        let later = event(later, "text").of("p").at(20);
        let fault = scene.clone().told([later]).fault(610);
        assert_eq!(fault.class, Class::StartStuck);
    }
}
