//! The rules of a tree that its shape alone cannot say, in CEL.
//!
//! Rule: a message names the child and says what must be changed. Every rule is linear in the number of
//! children, so that the API server accepts it for 256 of the longest names.

use kube::core::{Message, Reason, Rule};

/// `parent` names a supervisor that is declared earlier, so that a cycle cannot be written.
///
/// The map from supervisor to position is built once, in a list of one that serves as a variable:
/// looking a name up inside the loop would be quadratic, which the API server refuses.
pub(super) fn parents_come_first() -> Rule {
    rule(
        "[self.children.transformMapEntry(i, p, has(p.supervisor), {p.name: i})]\
         .all(m, self.children.all(i, c, !has(c.parent) || (c.parent in m && m[c.parent] < i)))",
        "[self.children.transformMapEntry(i, p, has(p.supervisor), {p.name: i})]\
         .map(m, self.children.transformList(i, c, \
         has(c.parent) && !(c.parent in m && m[c.parent] < i), \
         'the `parent` of child \\'' + c.name + '\\' must name a supervisor declared earlier in \
         `children`, but is \\'' + c.parent + '\\''))[0][0]",
    )
    .field_path(".children")
}

/// A child is one thing.
pub(super) fn supervisor_or_worker() -> Rule {
    rule(
        "has(self.supervisor) != has(self.worker)",
        "'child \\'' + self.name + '\\' must have either `supervisor` or `worker`, but has ' + \
         (has(self.worker) ? 'both' : 'neither')",
    )
}

/// `significant` needs a type that allows an end (`bad_combination` in OTP).
pub(super) fn significant_ones_may_end() -> Rule {
    rule(
        "[has(self.supervisor) ? [self.supervisor.significant, self.supervisor.restart != 'Permanent'] : \
         has(self.worker) ? [self.worker.significant, self.worker.restart != 'Permanent'] : [false, true]]\
         .all(s, !s[0] || s[1])",
        "'child \\'' + self.name + '\\' is `significant`, which needs `restart: Transient` or \
         `restart: Temporary`: a Permanent child never ends'",
    )
}

/// `ready: Completed` needs a type that allows an end.
pub(super) fn completion_is_an_end() -> Rule {
    rule(
        "!has(self.worker) || self.worker.ready != 'Completed' || self.worker.restart != 'Permanent'",
        "'worker \\'' + self.name + '\\' has `ready: Completed`, which needs `restart: Transient` or \
         `restart: Temporary`: a Permanent worker is started again when it has completed'",
    )
}

/// `significant` needs a supervisor that shuts itself down (`bad_combination` in OTP). The map from supervisor to whether
/// it does is built once, see [`parents_come_first`].
pub(super) fn significance_counts() -> Rule {
    const SIGNIFICANT: &str = "((has(c.supervisor) && c.supervisor.significant) || \
         (has(c.worker) && c.worker.significant))";
    const COUNTS: &str =
        "(has(c.parent) ? (c.parent in m && m[c.parent]) : self.autoShutdown != 'Never')";
    const SHUTS_DOWN: &str = "[self.children.transformMapEntry(i, p, has(p.supervisor), \
         {p.name: p.supervisor.autoShutdown != 'Never'})]";
    rule(
        &format!("{SHUTS_DOWN}.all(m, self.children.all(c, !{SIGNIFICANT} || {COUNTS}))"),
        &format!(
            "{SHUTS_DOWN}.map(m, self.children.map(c, {SIGNIFICANT} && !{COUNTS}, \
             'child \\'' + c.name + '\\' is `significant`, which needs `autoShutdown: AnySignificant` or \
             `AllSignificant` on its supervisor' + (has(c.parent) ? ' \\'' + c.parent + '\\'' : ', the root')))[0][0]"
        ),
    )
    .field_path(".children")
}

/// There are never two Pods of one name, and they are replaced one after another.
pub(super) fn stable_ones_update_one_by_one() -> Rule {
    rule(
        "!has(self.worker) || self.worker.identity != 'Stable' || \
         ((!has(self.worker.update.maxUnavailable) || string(self.worker.update.maxUnavailable) == '1') && \
         (!has(self.worker.update.maxSurge) || string(self.worker.update.maxSurge) == '0'))",
        "'worker \\'' + self.name + '\\' has `identity: Stable`, with which `update.maxUnavailable` can only be 1 and \
         `update.maxSurge` only 0: there are never two Pods of one name, and they are replaced one after another'",
    )
}

/// What belongs to one slot needs slots that are told apart.
pub(super) fn slots_are_told_apart() -> Rule {
    const CLAIMS: &str =
        "(has(self.worker.volumeClaimTemplates) && self.worker.volumeClaimTemplates.size() > 0)";
    rule(
        &format!(
            "!has(self.worker) || self.worker.identity == 'Stable' || (!has(self.worker.serviceName) && !{CLAIMS})"
        ),
        "'worker \\'' + self.name + '\\' has `' + (has(self.worker.serviceName) ? 'serviceName' : 'volumeClaimTemplates') + \
         '`, which needs `identity: Stable`: only replicas with fixed names have names in DNS and claims of their own'",
    )
}

/// The name of a template is that of a volume.
pub(super) fn claim_templates_differ_in_name() -> Rule {
    rule(
        "!has(self.worker) || !has(self.worker.volumeClaimTemplates) || self.worker.volumeClaimTemplates.all(t, \
         self.worker.volumeClaimTemplates.exists_one(u, u.metadata.name == t.metadata.name))",
        "'worker \\'' + self.name + '\\' has two `volumeClaimTemplates` of one `metadata.name`; names must be unique'",
    )
}

/// The claims that exist would not follow. With another identity a worker is another one.
pub(super) fn claim_templates_stay() -> Rule {
    const BOTH: &str = "has(self.worker) && has(oldSelf.worker) && self.worker.identity == oldSelf.worker.identity";
    const ARE: &str =
        "(has(self.worker.volumeClaimTemplates) ? self.worker.volumeClaimTemplates : [])";
    const WERE: &str =
        "(has(oldSelf.worker.volumeClaimTemplates) ? oldSelf.worker.volumeClaimTemplates : [])";
    rule(
        &format!("!({BOTH}) || {ARE} == {WERE}"),
        "'`volumeClaimTemplates` of worker \\'' + self.name + '\\' cannot be changed, because its claims would not follow: \
         change the claims themselves, or remove the child and add it again (its claims stay, unless they are owned by its Worker: \
         `persistentVolumeClaimRetentionPolicy`)'",
    )
}

/// A worker of which not one Pod may be missing and none be added is updated by a restart of its group, which needs one. The
/// map from supervisor to whether it has none is built once, see [`parents_come_first`].
pub(super) fn updates_can_move() -> Rule {
    const STUCK: &str = "(has(c.worker) && has(c.worker.update.maxUnavailable) && has(c.worker.update.maxSurge) && \
         string(c.worker.update.maxUnavailable) in ['0', '0%'] && string(c.worker.update.maxSurge) in ['0', '0%'])";
    const ALONE: &str =
        "(has(c.parent) ? (c.parent in m && m[c.parent]) : self.strategy == 'OneForOne')";
    const SUPERVISORS: &str = "[self.children.transformMapEntry(i, p, has(p.supervisor), \
         {p.name: p.supervisor.strategy == 'OneForOne'})]";
    rule(
        &format!("{SUPERVISORS}.all(m, self.children.all(c, !{STUCK} || !{ALONE}))"),
        &format!(
            "{SUPERVISORS}.map(m, self.children.map(c, {STUCK} && {ALONE}, \
             '`update` of worker \\'' + c.name + '\\' has both `maxUnavailable` and `maxSurge` 0, so that no Pod could ever \
             be replaced: raise one of them'))[0][0]"
        ),
    )
    .field_path(".children")
}

/// A step of a canary is one thing.
pub(super) fn one_thing_a_step() -> Rule {
    rule(
        "[has(self.updated), has(self.pauseSeconds), has(self.pause)].filter(one, one).size() == 1",
        "'a step of `update.steps` must say exactly one of `updated`, `pauseSeconds` and `pause`'",
    )
}

/// A worker that is restarted with its whole group for a changed template, or has replicas that finish, is not updated in
/// steps.
pub(super) fn steps_can_be_taken() -> Rule {
    rule(
        "!has(self.worker) || !has(self.worker.update.steps) || self.worker.update.steps.size() == 0 || \
         (self.worker.restart == 'Permanent' && \
         (!has(self.worker.update.maxUnavailable) || !has(self.worker.update.maxSurge) || \
         !(string(self.worker.update.maxUnavailable) in ['0', '0%']) || !(string(self.worker.update.maxSurge) in ['0', '0%'])))",
        "'`update.steps` of worker \\'' + self.name + '\\' need `restart: Permanent`, and `maxUnavailable` or `maxSurge` above 0: \
         only then some of its Pods can be updated before the others'",
    )
}

/// A canary goes forward only. What a step says is looked at character by character: for the API server a number or a part may
/// be a string of any length, and to read so many of those through may cost more than a rule is allowed.
pub(super) fn steps_go_forward() -> Rule {
    const STEPS: &str = "self.worker.update.steps";
    const COUNTS: &str = "self.worker.update.steps.filter(s, has(s.updated))";
    const IS_PART: &str = "string(s.updated).endsWith('%')";
    const PART: &str = "(s.updated.size() == 2 ? int(s.updated.charAt(0)) : \
         s.updated.size() == 3 ? int(s.updated.charAt(0)) * 10 + int(s.updated.charAt(1)) : 100)";
    rule(
        &format!(
            "!has(self.worker) || !has({STEPS}) || \
             (({STEPS}.all(s, !has(s.updated) || !{IS_PART}) && {COUNTS}.map(s, int(s.updated)).isSorted() || \
             {STEPS}.all(s, !has(s.updated) || {IS_PART}) && {COUNTS}.map(s, {PART}).isSorted()) && \
             {STEPS}.all(s, !has(s.updated) || !(string(s.updated) in ['0', '0%'])))"
        ),
        "'`update.steps` of worker \\'' + self.name + '\\' must update at least 1 Pod and never fewer than in an earlier step, \
         all in numbers or all in parts of `replicas`: put `updated` of the steps in ascending order'",
    )
}

/// A charge is one of a restart.
pub(super) fn only_restarts_are_charged() -> Rule {
    rule(
        "!has(self.charge) || self.action == 'Restart'",
        "'a rule of `faultPolicy` with `action: ' + self.action + '` must not have `charge`: only a restart is charged'",
    )
}

/// A rule for every fault whatever is more likely one that was forgotten to be finished.
pub(super) fn something_is_matched() -> Rule {
    rule(
        "has(self.classes) || has(self.families) || has(self.exitCodes) || has(self.containers)",
        "'`match` in a rule of `faultPolicy` must have at least one of `classes`, `families`, `exitCodes` and `containers`'",
    )
}

/// Labels by which Coppice finds and tells apart its Pods are not for templates.
pub(super) fn labels_not_reserved() -> Rule {
    rule(
        "!has(self.worker) || !has(self.worker.template.metadata) || \
         !has(self.worker.template.metadata.labels) || self.worker.template.metadata.labels.all(l, \
         !l.startsWith('coppice.dev/') && l != 'apps.kubernetes.io/pod-index')",
        "'child \\'' + self.name + '\\' must not set the label \\'' + \
         self.worker.template.metadata.labels.filter(l, l.startsWith('coppice.dev/') || \
         l == 'apps.kubernetes.io/pod-index')[0] + '\\' in `template.metadata.labels`: Coppice sets it'",
    )
    .reason(Reason::FieldValueForbidden)
}

/// Pods are named after the tree, and a name with dots is no host name. The length leaves room for at
/// least one character of a child's name.
///
/// These belong to the name itself: there, the API server lets a name that is stored already be.
pub(crate) fn tree_name() -> [Rule; 2] {
    [
        Rule::new("!self.contains('.')")
            .message("must not contain dots, because Pods are named after the tree"),
        Rule::new("self.size() <= 49").message(
            "must not be longer than 49 characters, because Pods are named after the tree",
        ),
    ]
}

/// Leaves 13 of the 63 characters of a Pod's name for two dashes and a slot or a hash.
///
/// Only the root sees both names, and a rule of the root is evaluated at every write, those of a status
/// and of finalizers included. So that a tree which is stored already can be reported on, and go, a new
/// tree is judged by this rule, and an edited one by [`added_names_fit_together`].
pub(super) fn names_fit_together() -> Rule {
    rule(
        "oldSelf.hasValue() || \
         self.spec.children.all(c, self.metadata.name.size() + c.name.size() <= 50)",
        "self.spec.children.map(c, self.metadata.name.size() + c.name.size() > 50, \
         '`metadata.name` and the `name` of child \\'' + c.name + '\\' must not be longer than 50 \
         characters together')[0]",
    )
    .optional_old_self(true)
    .field_path(".spec.children")
}

/// [`names_fit_together`], for children that an edit adds.
pub(super) fn added_names_fit_together() -> Rule {
    rule(
        "[oldSelf.spec.children.transformMapEntry(i, o, {o.name: i})].all(m, \
         self.spec.children.all(c, self.metadata.name.size() + c.name.size() <= 50 || c.name in m))",
        "[oldSelf.spec.children.transformMapEntry(i, o, {o.name: i})].map(m, \
         self.spec.children.map(c, \
         self.metadata.name.size() + c.name.size() > 50 && !(c.name in m), \
         '`metadata.name` and the `name` of child \\'' + c.name + '\\' must not be longer than 50 \
         characters together'))[0][0]",
    )
    .field_path(".spec.children")
}

fn rule(condition: &str, message: &str) -> Rule {
    Rule::new(condition).message(Message::Expression(message.into()))
}
