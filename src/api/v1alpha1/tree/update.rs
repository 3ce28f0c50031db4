//! How the Pods of a worker give way to a changed template.
//!
//! Rule: these are bounds that hold at every moment of an update, not a plan of it.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

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
