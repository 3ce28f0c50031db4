//! Creates that the API server refused.
//!
//! Rule: what an admission plugin says is judged before the status code, because plugins share codes.

use super::text::{Rule, first_match, join};
use super::{Class, Confidence, Fault};
use crate::model::world::Refusal;

/// What admission says. Answers of webhooks and policies come first: what follows in them is free text.
const RULES: &[Rule] = &[
    Rule(
        Class::WebhookUnavailable,
        &["failed calling webhook", "failed calling admission webhook"],
    ),
    Rule(
        Class::WebhookDenied,
        &["denied the request", "denied request"],
    ),
    Rule(
        Class::NamespaceTerminating,
        &["because it is being terminated"],
    ),
    Rule(Class::QuotaExceeded, &["exceeded quota: "]),
    Rule(
        Class::QuotaRequiresResources,
        &["failed quota: ", "insufficient quota to consume"],
    ),
    Rule(Class::QuotaStatusUnknown, &["status unknown for quota"]),
    Rule(Class::PodSecurityViolation, &["violates podsecurity"]),
    Rule(
        Class::LimitRangeViolation,
        &[
            "maximum cpu usage per",
            "maximum memory usage per",
            "maximum ephemeral-storage usage per",
            "maximum storage usage per",
            "minimum cpu usage per",
            "minimum memory usage per",
            "minimum ephemeral-storage usage per",
            "minimum storage usage per",
            "max limit to request ratio",
        ],
    ),
    Rule(
        Class::ServiceAccountMissing,
        &["error looking up service account"],
    ),
    Rule(Class::PriorityClassMissing, &["no priorityclass with name"]),
    Rule(Class::RuntimeClassMissing, &["pod rejected: runtimeclass"]),
    Rule(
        Class::RbacForbidden,
        &[
            "cannot create resource",
            "cannot set blockownerdeletion",
            "cannot set an ownerref",
        ],
    ),
    Rule(Class::ApiTimeout, &["request did not complete within"]),
];

/// Why the create was refused.
pub(super) fn judge(refusal: &Refusal) -> Fault {
    let (class, confidence) = classify(refusal);
    let what = if refusal.slot.is_some() {
        "Pod"
    } else {
        "Worker"
    };
    let head = match refusal.code {
        0 => format!("the {what} could not be created"),
        code => format!(
            "the {what} could not be created ({code} {})",
            refusal.reason
        ),
    };
    Fault::new(
        class,
        confidence,
        &join(&head, &refusal.message),
        Some(refusal.at),
    )
}

fn classify(refusal: &Refusal) -> (Class, Confidence) {
    if refusal.reason == "NameCollision" {
        return (Class::NameCollision, Confidence::Proved);
    }
    if let Some(class) = first_match(RULES, &refusal.message) {
        return (class, Confidence::Witnessed);
    }
    match refusal.code {
        0 | 429 | 500..=503 | 505..=599 => (Class::ApiUnavailable, Confidence::Proved),
        408 | 504 => (Class::ApiTimeout, Confidence::Proved),
        400 | 413 | 422 => (Class::PodSpecInvalid, Confidence::Proved),
        401 => (Class::RbacForbidden, Confidence::Proved),
        403 => (Class::WebhookDenied, Confidence::Rest),
        // A namespace or a kind that is missing is either on its way or on its way out.
        404 => (Class::ApiUnavailable, Confidence::Inferred),
        409 => (Class::ApiConflict, Confidence::Proved),
        _ => (Class::Unknown, Confidence::Rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fault::Verdict;
    use crate::model::fault::testing::refusal;

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
            ],
        );
        check(
            Verdict::Infrastructure,
            &[
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
        refused.slot = None;
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
}
