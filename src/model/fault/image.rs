//! Images that cannot be had: what the kubelet and the registry say about a pull.
//!
//! Rule: only what follows the image's name is judged, because a name may contain any word.

use super::text::{Rule, first_match};
use super::{Class, Confidence};

/// Reasons that say all there is to say.
const REASONS: &[(&str, Class)] = &[
    ("InvalidImageName", Class::ImageNameInvalid),
    ("ErrImageNeverPull", Class::ImageNeverPull),
    ("SignatureValidationFailed", Class::ImageSignatureInvalid),
    ("ImageInspectError", Class::ImageInspectFailed),
    ("RegistryUnavailable", Class::RegistryUnavailable),
];

/// What a failed pull says. The order matters: a missing platform also says "not found", and a rate
/// limit or an untrusted certificate also says that access failed.
const RULES: &[Rule] = &[
    Rule(
        Class::ImagePlatformMismatch,
        &[
            "no match for platform in manifest",
            "no matching manifest for",
            "exec format error",
        ],
    ),
    Rule(Class::ImageNoSpace, &["no space left on device"]),
    Rule(
        Class::ImageRateLimited,
        &[
            "toomanyrequests",
            "429 too many requests",
            "pull rate limit",
            "rate limit exceeded",
        ],
    ),
    Rule(
        Class::RegistryTlsUntrusted,
        &[
            "x509:",
            "certificate has expired",
            "server gave http response to https client",
        ],
    ),
    Rule(
        Class::ImageNotFoundOrUnauthorized,
        &[
            "pull access denied",
            "repository does not exist or may require authorization",
            "insufficient_scope",
        ],
    ),
    Rule(
        Class::ImageUnauthorized,
        &[
            "401 unauthorized",
            "403 forbidden",
            "unauthorized",
            "authentication required",
            "no basic auth credentials",
            "authorization token has expired",
            "requested access to the resource is denied",
            "denied: ",
        ],
    ),
    Rule(Class::RegistryHostNotFound, &["no such host"]),
    Rule(
        Class::RegistryUnavailable,
        &[
            "connection refused",
            "connection reset",
            "no route to host",
            "network is unreachable",
            "i/o timeout",
            "tls handshake timeout",
            "client.timeout exceeded",
            "server misbehaving",
            "try again",
            "unexpected eof",
            "500 internal server error",
            "502 bad gateway",
            "503 service unavailable",
            "504 gateway timeout",
        ],
    ),
    Rule(
        Class::ImageNotFound,
        &[
            "manifest unknown",
            "name unknown",
            "manifest for",
            "not found",
            "404",
        ],
    ),
    Rule(
        Class::ImagePullTimeout,
        &["context deadline exceeded", "context canceled"],
    ),
];

/// The class of a waiting container that has no image.
pub(super) fn waiting(reason: &str, message: &str) -> Option<(Class, Confidence)> {
    if let Some((_, class)) = REASONS.iter().find(|(name, _)| *name == reason) {
        return Some((*class, Confidence::Proved));
    }
    if !matches!(reason, "ErrImagePull" | "ImagePullBackOff") {
        return None;
    }
    Some(match first_match(RULES, &without_quotes(cause(message))) {
        Some(class) => (class, Confidence::Witnessed),
        None => (Class::ImagePullFailed, Confidence::Rest),
    })
}

/// What a back-off repeats of the failure beneath it.
pub(super) fn cause(message: &str) -> &str {
    message
        .split_once("ErrImagePull: ")
        .map_or(message, |(_, cause)| cause)
}

/// The text without what stands in quotes: names and addresses.
fn without_quotes(text: &str) -> String {
    text.split('"').step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
