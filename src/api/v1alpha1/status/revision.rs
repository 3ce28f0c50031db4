//! Revisions of the templates of a tree, as its status tells of them.
//!
//! Rule: the templates themselves stand in `ControllerRevision`s; here is only what is thought of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RolloutFailure;

/// One set of templates of all workers of a tree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionStatus {
    /// name of the ControllerRevision that holds the templates.
    #[schemars(length(max = 63))]
    pub name: String,

    /// number of the revision: a later one is higher. Templates that are asked for again get a new number.
    #[schemars(range(min = 0))]
    pub number: i64,

    /// mark is what is known of it.
    /// Unproven: it has not been up for `rollout.probationSeconds` yet.
    /// Good: it has. One that was left for another that was proved, too, is Unproven again when it is asked for again.
    /// Bad: its rollout failed, and the tree was taken back to the last good one. It is not tried again until another is asked
    /// for, or `rollout.retryAt` says so.
    pub mark: RevisionMark,

    /// promotedBefore is the step that `rollout.promote` named of this revision before there was one of that number. Nobody had
    /// seen then what it goes on from, so that it ends no pause; absent once something else is written there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2560))]
    pub promoted_before: Option<i32>,

    /// failed says why it is Bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<RolloutFailure>,
}

/// What is known of a revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RevisionMark {
    /// It has not been up for long enough.
    #[default]
    Unproven,
    /// It has been up for long enough.
    Good,
    /// Its rollout failed.
    Bad,
}
