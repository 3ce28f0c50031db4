//! What the API server and its plugins say when they refuse a Pod.
//!
//! Rule: each text stands as a component has written it.

use super::*;
use crate::model::fault::Verdict;
use crate::model::fault::testing::{proof, refusal};

#[test]
fn refusals_that_hold() {
    use Class as C;
    check(
        Verdict::Hold,
        &[
            (
                403,
                "Forbidden",
                "pods \"a\" is forbidden: failed quota: compute: must specify requests.cpu",
                C::QuotaRequiresResources,
            ),
            (
                403,
                "Forbidden",
                "pods \"a\" is forbidden: maximum cpu usage per Container is 1, but limit is 2",
                C::LimitRangeViolation,
            ),
            (
                403,
                "Forbidden",
                "pods \"a\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot != true",
                C::PodSecurityViolation,
            ),
            (
                403,
                "Forbidden",
                "admission webhook \"w\" denied the request: exceeded quota: mine",
                C::WebhookDenied,
            ),
            (
                422,
                "Invalid",
                "pods \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no",
                C::WebhookDenied,
            ),
            (
                403,
                "Forbidden",
                "pods \"a\" is forbidden: error looking up service account ns/x: serviceaccount \"x\" not found",
                C::ServiceAccountMissing,
            ),
            (
                403,
                "Forbidden",
                "pods \"a\" is forbidden: no PriorityClass with name x was found",
                C::PriorityClassMissing,
            ),
            (
                403,
                "Forbidden",
                "pods \"a\" is forbidden: pod rejected: RuntimeClass \"x\" not found",
                C::RuntimeClassMissing,
            ),
            (
                403,
                "Forbidden",
                "pods \"a\" is forbidden: unable to create new content in namespace x because it is being terminated",
                C::NamespaceTerminating,
            ),
            (
                403,
                "Forbidden",
                "pods is forbidden: User \"u\" cannot create resource \"pods\" in API group \"\"",
                C::RbacForbidden,
            ),
            (
                403,
                "Forbidden",
                "pods \"a\" is forbidden: a plugin of this cluster",
                C::WebhookDenied,
            ),
            (
                422,
                "Invalid",
                "Pod \"a\" is invalid: spec.containers[0].image: Required value",
                C::PodSpecInvalid,
            ),
            (
                400,
                "BadRequest",
                "strict decoding error: unknown field \"spec.x\"",
                C::PodSpecInvalid,
            ),
            (
                409,
                "NameCollision",
                "pods \"a\" already exists",
                C::NameCollision,
            ),
        ],
    );
}

#[test]
fn refusals_that_pass() {
    use Class as C;
    check(
        Verdict::Wait,
        &[
            (
                403,
                "Forbidden",
                "pods \"a\" is forbidden: exceeded quota: compute, requested: pods=1, used: pods=2, limited: pods=2",
                C::QuotaExceeded,
            ),
            (
                403,
                "Forbidden",
                "pods \"a\" is forbidden: status unknown for quota: compute",
                C::QuotaStatusUnknown,
            ),
            (
                500,
                "InternalError",
                "Internal error occurred: failed calling webhook \"w\": context deadline exceeded",
                C::WebhookUnavailable,
            ),
            (
                409,
                "AlreadyExists",
                "pods \"a\" already exists",
                C::ApiConflict,
            ),
            (429, "TooManyRequests", "", C::ApiUnavailable),
            (503, "ServiceUnavailable", "", C::ApiUnavailable),
            (504, "Timeout", "", C::ApiTimeout),
            (
                500,
                "InternalError",
                "Timeout: request did not complete within requested timeout",
                C::ApiTimeout,
            ),
            (0, "", "connection refused", C::ApiUnavailable),
            (0, "", "nobody has seen this", C::ApiUnavailable),
        ],
    );
    check(Verdict::Unknown, &[(418, "Teapot", "", C::Unknown)]);
}

fn check(verdict: Verdict, table: &[(u16, &str, &str, Class)]) {
    for (code, reason, message, class) in table {
        let fault = judge(&refusal(*code, reason, message));
        assert_eq!(
            (fault.class, fault.verdict),
            (*class, verdict),
            "{code} {reason}: {message}"
        );
    }
}

#[test]
fn the_message_says_what_was_refused() {
    let mut refused = refusal(409, "NameCollision", "held by Pod of another owner");
    let text = "the Pod could not be created (409 NameCollision): held by Pod of another owner";
    assert_eq!(judge(&refused).message, text);
    refused.kind = "Worker";
    assert!(
        judge(&refused)
            .message
            .starts_with("the Worker could not be created")
    );
    assert_eq!(
        judge(&refusal(0, "", "timeout")).message,
        "the Pod could not be created: timeout"
    );
}

/// What the API server says, and the class of it.
const TEXTS: &[(&str, Class)] = &[
    (
        "pods \"a\" is forbidden: exceeded quota: q, requested: cpu=1, used: cpu=2, limited: cpu=2",
        Class::QuotaExceeded,
    ),
    (
        "pods \"a\" is forbidden: failed quota: q: must specify limits.cpu for: main",
        Class::QuotaRequiresResources,
    ),
    (
        "pods \"a\" is forbidden: insufficient quota to consume: requests.cpu",
        Class::QuotaRequiresResources,
    ),
    (
        "pods \"a\" is forbidden: status unknown for quota: q, resources: pods",
        Class::QuotaStatusUnknown,
    ),
    (
        "pods \"a\" is forbidden: maximum memory usage per Pod is 1Gi, but limit is 2Gi",
        Class::LimitRangeViolation,
    ),
    (
        "pods \"a\" is forbidden: minimum cpu usage per Container is 100m, but request is 10m",
        Class::LimitRangeViolation,
    ),
    (
        "pods \"a\" is forbidden: cpu max limit to request ratio per Container is 2, but provided ratio is 4",
        Class::LimitRangeViolation,
    ),
    (
        "pods \"a\" is forbidden: violates PodSecurity \"restricted:latest\": privileged",
        Class::PodSecurityViolation,
    ),
    (
        "admission webhook \"w\" denied the request: no",
        Class::WebhookDenied,
    ),
    (
        "Internal error occurred: failed calling webhook \"w\": connection refused",
        Class::WebhookUnavailable,
    ),
    (
        "Internal error occurred: failed calling admission webhook \"w\": timeout",
        Class::WebhookUnavailable,
    ),
    (
        "pods \"a\" is forbidden: error looking up service account n/s: serviceaccount \"s\" not found",
        Class::ServiceAccountMissing,
    ),
    (
        "pods \"a\" is forbidden: no PriorityClass with name high was found",
        Class::PriorityClassMissing,
    ),
    (
        "pods \"a\" is forbidden: pod rejected: RuntimeClass \"x\" not found",
        Class::RuntimeClassMissing,
    ),
    (
        "pods \"a\" is forbidden: unable to create new content in namespace n because it is being terminated",
        Class::NamespaceTerminating,
    ),
    (
        "pods is forbidden: User \"u\" cannot create resource \"pods\" in API group \"\" in the namespace \"n\"",
        Class::RbacForbidden,
    ),
    (
        "Timeout: request did not complete within requested timeout - context deadline exceeded",
        Class::ApiTimeout,
    ),
    ("Timeout: something was slow", Class::ApiTimeout),
    (
        "Pod \"a\" is invalid: spec.containers[0].image: Required value",
        Class::PodSpecInvalid,
    ),
    ("pods \"a\" already exists", Class::ApiConflict),
    (
        "the object has been modified; please apply your changes to the latest version",
        Class::ApiConflict,
    ),
    ("etcdserver: request timed out", Class::ApiUnavailable),
    (
        "dial tcp 10.0.0.1:443: connect: connection refused",
        Class::ApiUnavailable,
    ),
    (
        "the server has received too many requests and has asked us to try again later",
        Class::ApiUnavailable,
    ),
];

#[test]
fn the_text_alone_tells_why_whoever_repeats_it() {
    let prefixes = [
        "",
        "Error creating: ",
        "create Pod a in StatefulSet w failed error: ",
        "(combined from similar events): Error creating: ",
    ];
    for (text, class) in TEXTS {
        for prefix in prefixes {
            let (found, confidence) = classify_text(&format!("{prefix}{text}"));
            assert_eq!(
                (found, confidence),
                (*class, Confidence::Witnessed),
                "{prefix}{text}"
            );
        }
    }
}

#[test]
fn a_text_that_nobody_knows_is_at_most_a_no() {
    assert_eq!(
        classify_text("pods \"a\" is forbidden: a plugin of this cluster"),
        (Class::WebhookDenied, Confidence::Rest)
    );
    assert_eq!(
        classify_text("the moon is in the wrong place"),
        (Class::Unknown, Confidence::Rest)
    );
}

#[test]
fn the_answer_is_the_proof() {
    let text = "pods \"a\" is forbidden: exceeded quota: q, requested: pods=1";
    let fault = judge(&refusal(403, "Forbidden", text));
    assert_eq!(fault.confidence, Confidence::Witnessed);
    assert_eq!(
        fault.proofs,
        [proof("answer to the create", "message", text)]
    );
    let full = judge(&refusal(429, "TooManyRequests", ""));
    assert_eq!(full.confidence, Confidence::Proved);
    let strange = judge(&refusal(403, "Forbidden", "no"));
    assert_eq!(strange.confidence, Confidence::Rest);
}

#[test]
fn an_eviction_that_a_budget_forbids_is_told_as_one() {
    let said = "Cannot evict pod as it would violate the pod's disruption budget.";
    let fault = judge(&refusal(429, "TooManyRequests", said));
    assert_eq!(
        (fault.class, fault.confidence),
        (Class::PdbBlocked, Confidence::Witnessed)
    );
    let head = "the Pod could not be evicted (429 TooManyRequests): Cannot evict";
    assert!(fault.message.starts_with(head), "{}", fault.message);
    let busy = judge(&refusal(429, "TooManyRequests", "too many requests"));
    assert_eq!(busy.class, Class::ApiUnavailable);
}
