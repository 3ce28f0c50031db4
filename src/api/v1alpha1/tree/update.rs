//! How the Pods of a worker give way to a changed template.
//!
//! Rule: these are bounds that hold at every moment of an update, not a plan of it.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::api::v1alpha1::rules;

/// How the Pods of a worker give way to those of a changed template, or to fresh ones that `restartAt` asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateSettings {
    /// maxUnavailable is how many of `replicas` may be down at once while Pods are replaced: a number from 0 to 1000, or a
    /// part of `replicas`, such as `10%`, rounded down. What is down for any other reason counts too; a Pod of the former
    /// template that is not alive is replaced at once. Never more than `replicas` without `quorum`, except that one may be down
    /// where nothing else would ever let a Pod be replaced: `maxSurge` is 0, and its supervisor is OneForOne or the worker is
    /// Temporary. Where `maxSurge` is 0 and this is not 0 as well, at least 1. With `identity: Stable` only 1. Left out: 0, and 1 with `identity: Stable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<NumberOrPercent>,

    /// maxSurge is how many Pods there may be above `replicas` while Pods are replaced: a number from 0 to 1000, or a part of
    /// `replicas`, such as `10%`, rounded up. With `identity: Stable` only 0; with `ready: Completed` 0 whatever is written here. When neither this nor `maxUnavailable` allows a
    /// Pod to be replaced beside the others, the group of the worker is restarted as a whole, without a charge. Left out: 1,
    /// and 0 with `identity: Stable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_surge: Option<NumberOrPercent>,

    /// minReadySeconds is how long a Pod must have been Ready, without a break, to count as not down while Pods are replaced,
    /// from 0 to 86400. Default 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 86_400))]
    pub min_ready_seconds: i32,

    /// method says how a Pod gets a changed template.
    /// Recreate: another Pod takes its place.
    /// InPlaceIfPossible: where a changed template differs from that of the Pod in nothing but images of app containers, the Pod
    /// is given the new images: it keeps its name, node, IP and volumes, and the kubelet restarts those containers, without a
    /// charge. The Pod is down meanwhile, so this happens within `maxUnavailable`: where that is 0, a Pod is added first
    /// (`maxSurge`), and as many are updated in place at once as were added. Pods are recreated all the same where anything else
    /// is changed, where they are not alive, are not restarted by the kubelet (`restart: Permanent` below a OneForOne supervisor is),
    /// or are to change again before they have come up, for `restartAt`, and where the API server refuses the change. A Pod
    /// that changes in place leaves its Services only when it is not Ready any more: give it a readiness probe.
    /// Default Recreate.
    #[serde(default)]
    pub method: UpdateMethod,

    /// steps make the update a canary: some Pods get the changed template first, and the others when the last step is over. Each step
    /// says one of `updated`, `pauseSeconds` and `pause`, and is over only while the Pods that are updated are available. Until the last one is,
    /// one application fault of an updated Pod is enough for the rollout to fail. They are taken where a good revision is there
    /// to go back to, and where the group of the worker need not be restarted as a whole. They need `restart: Permanent`. At most 10. Left out: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub steps: Vec<UpdateStep>,
}

/// How a Pod gets a changed template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UpdateMethod {
    /// Another Pod takes its place.
    #[default]
    Recreate,
    /// It is changed itself, where only images of app containers differ.
    InPlaceIfPossible,
}

impl UpdateSettings {
    /// Whether it says that not one Pod may be missing and none be added.
    pub fn is_none_at_all(&self) -> bool {
        let is_none = |share: &Option<NumberOrPercent>| {
            let share = share.as_ref();
            share.is_some_and(|share| share.rounded_up(1000) == Some(0))
        };
        is_none(&self.max_unavailable) && is_none(&self.max_surge)
    }
}

/// One step of a canary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = rules::one_thing_a_step())]
#[serde(rename_all = "camelCase")]
pub struct UpdateStep {
    /// updated is how many Pods are to be of the changed template: a number from 1 to 1000, or a part of `replicas`, such as `10%`, rounded
    /// up. Not fewer than in an earlier step; numbers and parts are not to be mixed in one list. Exactly one of `updated`, `pauseSeconds` and `pause` must be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated: Option<NumberOrPercent>,

    /// pauseSeconds is how long to wait, from 1 to 604800. The time does not count for `rollout.progressDeadlineSeconds`. Exactly one of `updated`, `pauseSeconds` and `pause` must be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub pause_seconds: Option<i32>,

    /// pause waits until `rollout.promote` names this step (`kubectl coppice promote`); written `pause: {}`. The time does not count for
    /// `rollout.progressDeadlineSeconds`. Exactly one of `updated`, `pauseSeconds` and `pause` must be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
}

/// A wait without an end of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("maxProperties" = 0))]
pub struct Pause {}

impl UpdateStep {
    /// Whether it is there to wait.
    pub fn is_pause(&self) -> bool {
        self.pause.is_some() || self.pause_seconds.is_some()
    }
}

/// A number, or a part of one in percent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NumberOrPercent(pub IntOrString);

impl NumberOrPercent {
    /// How many of `all` that is, parts rounded up; `None` when it is not a number from 0 to 1000, or from `0%` to `100%`.
    pub fn rounded_up(&self, all: i32) -> Option<i32> {
        self.resolve(all, 99)
    }

    /// How many of `all` that is, parts rounded down; `None` as for [`Self::rounded_up`].
    pub fn rounded_down(&self, all: i32) -> Option<i32> {
        self.resolve(all, 0)
    }

    /// It as it is written.
    pub fn told(&self) -> String {
        match &self.0 {
            IntOrString::Int(number) => number.to_string(),
            IntOrString::String(text) => text.clone(),
        }
    }

    fn resolve(&self, all: i32, up: i32) -> Option<i32> {
        match &self.0 {
            IntOrString::Int(number) => (0..=1000).contains(number).then_some(*number),
            IntOrString::String(text) => {
                let digits = text.strip_suffix('%')?;
                let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
                let percent: i32 = digits.parse().ok().filter(|_| is_number)?;
                (percent <= 100).then(|| (percent * all.max(0) + up) / 100)
            }
        }
    }
}

impl JsonSchema for NumberOrPercent {
    fn schema_name() -> Cow<'static, str> {
        "NumberOrPercent".into()
    }

    fn inline_schema() -> bool {
        true
    }

    /// The limits of numbers concern numbers alone, and the pattern strings.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "pattern": "^(100|[1-9]?[0-9])%$",
            "maxLength": 4,
            "minimum": 0,
            "maximum": 1000,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_replicas_are_rounded_by_what_they_are_for() {
        let table = [
            ("3", 10, Some((3, 3))),
            ("0", 10, Some((0, 0))),
            ("10%", 10, Some((1, 1))),
            ("25%", 10, Some((2, 3))),
            ("1%", 3, Some((0, 1))),
            ("100%", 7, Some((7, 7))),
            ("0%", 7, Some((0, 0))),
            ("101%", 7, None),
            ("+5%", 7, None),
            ("5", 0, Some((5, 5))),
            ("1001", 7, None),
            ("-1", 7, None),
            ("x", 7, None),
            ("%", 7, None),
        ];
        for (text, all, expected) in table {
            let value = text
                .parse()
                .map_or_else(|_| IntOrString::String(text.into()), IntOrString::Int);
            let value = NumberOrPercent(value);
            let both = value.rounded_down(all).zip(value.rounded_up(all));
            assert_eq!(both, expected, "{text} of {all}");
        }
    }
}
