//! Pods that the stored statuses name and that nobody here has seen: are they gone, or not known yet?
//!
//! Rule: that a Pod is missing is believed when its end was seen, or when it is not found after it was named. A view of Pods may be behind the statuses that another operator has written.

use std::collections::{BTreeSet, HashSet};

use super::super::context::Context;
use super::Observation;

/// The UIDs of Pods that a status names as the ones in use, and that may exist although they are not known.
pub(in crate::controller) fn unexplained(
    context: &Context,
    observation: &Observation,
) -> BTreeSet<String> {
    let mut missing = BTreeSet::new();
    for worker in observation.world.workers.values() {
        let known: HashSet<&str> = worker.pods.iter().map(|pod| pod.uid.as_str()).collect();
        let named = worker
            .status
            .slots
            .iter()
            .filter(|slot| !slot.gone && !slot.pod_uid.is_empty());
        missing.extend(
            named
                .map(|slot| &slot.pod_uid)
                .filter(|uid| !known.contains(uid.as_str()))
                .cloned(),
        );
    }
    context.memories.keep_absent(&observation.key, &missing);
    if missing.is_empty() {
        return missing;
    }
    let absent = context.memories.absent(&observation.key);
    let views = context.views.lock();
    missing.retain(|uid| !absent.contains(uid) && !views.pods.has_ended(uid));
    missing
}
