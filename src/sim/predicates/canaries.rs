//! Canaries: which slots of a worker may run its new template.
//!
//! Rule: read off the status of the Worker as the API server holds it; a slot that is not in it has the former template.

use serde_json::Value;

use crate::sim::objects::{revision_of, slot_of};

/// Whether what is stored of a worker lets a Pod of that template be made in that slot.
pub(super) fn allows(worker: &Value, pod: &Value) -> bool {
    let step = &worker["status"]["updateStep"];
    let slots = step["slots"].as_array();
    let is_chosen = slots.is_some_and(|slots| slots.iter().any(|slot| *slot == slot_of(pod)));
    step.is_null() || is_chosen || worker["status"]["revision"] != revision_of(pod)
}
