//! Images that cannot be had: what the kubelet and the registry say about a pull.
//!
//! Rule: only what follows the image's name is judged, because a name may contain any word.

use jiff::{SignedDuration, Timestamp};

use super::class::family;
use super::evidence::{EventView, Evidence};
use super::text::{EventRule, Rule, bounded, contains, first_match, join};
use super::{Class, Confidence, Family, Fault, Proof, Verdict};
use crate::model::pod::{ContainerView, ImageVolumeView};

family! {
    /// The node cannot get the image of a container, so that the container waits and its program has never
    /// run. The evidence is `state.waiting` of the container and the Pod's first Event `Failed`; later Events
    /// only say that the kubelet waits before it tries again.
    Image {
        /// The image reference is not well formed. The container waits with the reason `InvalidImageName`.
        ImageNameInvalid: Hold, Cluster, "Correct `image` in the template: a name in lower case without spaces or `https://`, followed by a tag or by `@sha256:` and a digest.";
        /// The registry does not have the image. The message of the failed pull says `not found`,
        /// `manifest unknown` or `name unknown`.
        ImageNotFound: Hold, Cluster, "Look in the registry for the name and the tag, then correct `image` in the template or push the image.";
        /// The registry refuses to hand out the image with the credentials it was shown, or without any. The
        /// message of the failed pull has `401`, `403`, `unauthorized` or the like.
        ImageUnauthorized: Hold, Cluster, "Check that `imagePullSecrets` of the template or its service account names a Secret for this registry, and that its password or token has not expired.";
        /// The registry does not say whether the image is missing or access to it. The message of the failed
        /// pull says `pull access denied` or `insufficient_scope`.
        ImageNotFoundOrUnauthorized: Hold, Sample, "Check both: the spelling of `image` in the template, and the Secret that `imagePullSecrets` names. Pulling it by hand with the same credentials tells which it is.";
        /// A Secret that `imagePullSecrets` names does not exist, and the pull without it failed. The Pod has
        /// an Event `FailedToRetrieveImagePullSecret`.
        ImagePullSecretMissing: Hold, Cluster, "Create the Secret in the Pod's namespace (`kubectl create secret docker-registry`), or correct its name under `imagePullSecrets` in the template or its service account.";
        /// The registry limits the rate of pulls. The message of the failed pull has `429` or
        /// `toomanyrequests`.
        ImageRateLimited: Wait, Cluster, "It passes by itself, after minutes or hours. Worry when it comes back: then pull with credentials (`imagePullSecrets`) or from a mirror of your own.";
        /// The registry's host name does not resolve. The message of the failed pull says `no such host`.
        RegistryHostNotFound: Hold, Sample, "Check the host name in `image` in the template. If it is right, resolve it on the node itself, because the kubelet does not use the DNS of the cluster.";
        /// The registry cannot be reached, or fails. The container waits with the reason
        /// `RegistryUnavailable`, or the message of the failed pull has `connection refused`, `i/o timeout`
        /// or a server error.
        RegistryUnavailable: Wait, Cluster, "It passes when the registry is back. Worry when only one node says so (`kubectl get pods -o wide`): then look at the network, the proxy and the firewall of that node.";
        /// The registry's certificate is not trusted or has expired, or the registry speaks HTTP where HTTPS
        /// is expected. The message of the failed pull has `x509` or says that the answer was HTTP.
        RegistryTlsUntrusted: Hold, Cluster, "Renew the registry's certificate, or tell the container runtime of every node to trust its authority. For a registry without HTTPS, allow that in the runtime's configuration.";
        /// The image does not exist for the platform of the node. The failed pull says
        /// `no match for platform`, or the container says `exec format error` when it is started.
        ImagePlatformMismatch: Hold, Cluster, "Build the image for the platforms of all nodes, or keep the Pod to nodes that it fits, with the label `kubernetes.io/arch` in `nodeSelector` of the template.";
        /// The image is not on the node, or was pulled there with other credentials, and the pull policy is
        /// `Never`. The container waits with the reason `ErrImageNeverPull`.
        ImageNeverPull: Hold, Cluster, "Set `imagePullPolicy: IfNotPresent` in the template, or load the image onto every node that may run the Pod.";
        /// The signature of the image is not valid, and the node's policy demands one that is. The container
        /// waits with the reason `SignatureValidationFailed`.
        ImageSignatureInvalid: Hold, Source, "Treat it as a matter of security: find out who built the image. Then sign it, or name an image in the template that is signed as the policy demands.";
        /// The runtime could not inspect the image on the node. The container waits with the reason
        /// `ImageInspectError`.
        ImageInspectFailed: Infrastructure, Source, "Read the log of the container runtime on that node, and remove the image there (`crictl rmi`) so that it is pulled again. Worry when several nodes say so.";
        /// The node has no space for the image, or for what the runtime writes when it makes a container of it.
        /// The failed pull, or the container that cannot be made, says `no space left on device`, and the node
        /// often has the condition `DiskPressure`.
        ImageNoSpace: Infrastructure, Source, "Free space on that node, or give it a larger disk for images: its conditions and Events say how far it has come (`kubectl describe node`).";
        /// Pulling the image took too long. The message of the failed pull has `context deadline exceeded` or
        /// `context canceled`, or an Event `Pulling` stays without `Pulled`.
        ImagePullTimeout: Infrastructure, Source, "It may pass by itself: by default a node pulls one image after another. Worry when it repeats: then make the image smaller or use a registry that is nearer.";
        /// The image cannot be pulled, and the kubelet does not say why. The container waits with the reason
        /// `ErrImagePull` or `ImagePullBackOff`, and neither its message nor an Event has a known cause.
        ImagePullFailed: Hold, Sample, "Read the whole message (`kubectl describe pod`). If it says too little, pull the image on that node with `crictl pull`, which shows the registry's own answer.";
        /// The image that a volume of the Pod names cannot be pulled. The Pod stays in `ContainerCreating`,
        /// and its Events name the image and the error.
        ImageVolumePullFailed: Hold, Cluster, "Read the Events (`kubectl describe pod`), then correct `image.reference` of the volume in the template, or give the Pod the credentials for it with `imagePullSecrets`.";
    }
}

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
            "http 429",
            "too many requests",
            "pull qps exceeded",
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
            "first record does not look like a tls handshake",
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
            "http 401",
            "http 403",
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
            ": eof",
            "connection timed out",
            "temporary failure in name resolution",
            "500 internal server error",
            "502 bad gateway",
            "503 service unavailable",
            "504 gateway timeout",
        ],
    ),
    // The node lacks something, or what it has is broken; the registry has the image.
    Rule(
        Class::ImagePullFailed,
        &["executable file not found", "content digest…not found"],
    ),
    Rule(
        Class::ImageNotFound,
        &[
            "manifest unknown",
            "name unknown",
            "manifest for…not found",
            "not found",
            "404 not found",
            "http 404",
            "status code 404",
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
    Some(match of_text(message) {
        Some(class) => (class, Confidence::Witnessed),
        None => (Class::ImagePullFailed, Confidence::Rest),
    })
}

/// How long a pull may take before that is strange.
const PATIENCE: SignedDuration = SignedDuration::from_secs(600);

/// Reasons of Events that only explain.
pub(super) const CONTEXT: &[EventRule] = &[EventRule(
    &["FailedToRetrieveImagePullSecret"],
    &[""],
    Class::ImagePullSecretMissing,
)];

/// What an Event says of a failed pull that the container's own message does not: the newest that says why. Those that
/// come after it only say that it failed.
pub(super) fn failed_pull<'a>(
    evidence: &Evidence<'a>,
    container: &ContainerView,
) -> Option<(Class, &'a EventView)> {
    let events = evidence.events_of(&container.name, &["Failed", "BackOff", "InspectFailed"]);
    events.into_iter().rev().find_map(|event| {
        let class = of_text(event.text())?;
        Some((class, event))
    })
}

/// A volume that is an image and cannot be pulled.
pub(super) fn volume(evidence: &Evidence<'_>) -> Option<Fault> {
    let name = &evidence.pod.spec.image_volumes.first()?.name;
    let events = evidence.events_of_pod(&["Failed", "FailedMount"]);
    let speaks_of_pull = |event: &EventView| contains(event.text(), &["pull"]);
    let event = events
        .into_iter()
        .rev()
        .find(|event| speaks_of_pull(event) && of_text(event.text()).is_some())?;
    let head = format!("the image of volume {name} cannot be pulled");
    let mut fault = Fault::witnessed(Class::ImageVolumePullFailed, &head, event);
    fault.contributing.extend(of_text(event.text()));
    Some(fault)
}

/// What a container waits for, told of the volume whose image it is: the kubelet says it of the container, and names the
/// image.
pub(super) fn or_of_volume(evidence: &Evidence<'_>, fault: Fault, said: &str) -> Fault {
    let mut quoted = said.split('"').skip(1).step_by(2);
    // The runtime writes short names at length.
    let is_meant = |volume: &&ImageVolumeView| {
        let long = format!("/{}", volume.image);
        !volume.image.is_empty() && quoted.any(|name| name == volume.image || name.ends_with(&long))
    };
    let named = evidence.pod.spec.image_volumes.iter().find(is_meant);
    let Some(volume) = named.filter(|_| fault.class.family() == Family::Image) else {
        return fault;
    };
    let head = format!("the image of volume {} cannot be pulled", volume.name);
    Fault {
        class: Class::ImageVolumePullFailed,
        message: bounded(&join(&head, cause(said))),
        contributing: vec![fault.class],
        ..fault
    }
}

/// An image that is still being pulled, as the newest Event about images says.
pub(super) fn pulling(evidence: &Evidence<'_>, now: Timestamp) -> Option<Fault> {
    let event = evidence
        .events_of_pod(&["Pulling", "Pulled", "Failed"])
        .pop()?;
    let since = event.seen().filter(|_| event.reason == "Pulling")?;
    if now.duration_since(since) < PATIENCE {
        let message = "an image of the Pod is being pulled";
        return Some(Fault::new(
            Class::NoFault,
            Confidence::Proved,
            message,
            None,
        ));
    }
    let head = "an image of the Pod has been pulled for long";
    let fault = Fault::witnessed(Class::ImagePullTimeout, head, event);
    Some(Fault {
        confidence: Confidence::Inferred,
        ..fault
    })
}

/// A pull that was refused for want of the Secret that the kubelet did not find.
pub(super) fn without_secret(evidence: &Evidence<'_>, fault: Fault) -> Fault {
    let is_refused = matches!(
        fault.class,
        Class::ImageUnauthorized | Class::ImageNotFoundOrUnauthorized | Class::ImagePullFailed
    );
    if !is_refused || !fault.contributing.contains(&Class::ImagePullSecretMissing) {
        return fault;
    }
    let mut contributing = fault.contributing;
    contributing.retain(|class| *class != Class::ImagePullSecretMissing);
    contributing.push(fault.class);
    let fault = Fault {
        class: Class::ImagePullSecretMissing,
        verdict: Verdict::Hold,
        confidence: Confidence::Witnessed,
        contributing,
        ..fault
    };
    let told = evidence.events_of_pod(&["FailedToRetrieveImagePullSecret"]);
    match told.last() {
        Some(event) => fault.proved(Proof::event(event)),
        None => fault,
    }
}

/// What a failed pull says.
pub(super) fn of_text(message: &str) -> Option<Class> {
    first_match(RULES, &without_names(cause(message)))
}

/// What a back-off repeats of the failure beneath it.
pub(super) fn cause(message: &str) -> &str {
    message
        .split_once("ErrImagePull: ")
        .map_or(message, |(_, cause)| cause)
}

/// The text without what stands in quotes, and without references of images: names and addresses.
fn without_names(text: &str) -> String {
    let unquoted: String = text.split('"').step_by(2).collect();
    let words = unquoted.split(' ').map(|word| {
        let is_name = word.contains('/') && !word.ends_with("i/o");
        match word.strip_suffix(':') {
            _ if !is_name => word,
            Some(_) => ":",
            None => "",
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
