//! What Erlang/OTP's own tests of its supervisor expect, asked of Coppice. The folder has the tests of one kind each; the
//! page `docs/conformance.md` is made of their first comments.
//!
//! Rule: the supervisor under test is called `s`; a root that is in nobody's way is above it. All of them go by OTP's
//! rules: one child after another, no delays, and a first start that fails is not retried.

use std::fmt::Write as _;
use std::ops::{Deref, DerefMut};

use super::lab::Lab;
use super::scenarios::{charges, trace};
use crate::api::v1alpha1::{Child, SupervisionTreeSpec};

mod administration;
mod exits;
mod golden;
mod golden_exits;
mod groups;
mod misc;
mod significant;
mod start;
mod stop;
mod strategies;

/// What every supervisor is given, beside what its words say.
const PROFILE: &str = "startup: Ordered, onStartFailure: Fail, backoff: {initialSeconds: 0}";
/// How long a test lets things settle, in seconds.
const SETTLES: i64 = 30;

/// A field in the words of OTP's tests; a word with a colon is a field as it stands in the API.
fn field(word: &str) -> String {
    let known = [
        ("ofo", "strategy: OneForOne"),
        ("ofa", "strategy: OneForAll"),
        ("rfo", "strategy: RestForOne"),
        ("perm", "restart: Permanent"),
        ("trans", "restart: Transient"),
        ("temp", "restart: Temporary"),
        ("sig", "significant: true"),
        ("any", "autoShutdown: AnySignificant"),
        ("all", "autoShutdown: AllSignificant"),
    ];
    if let Some((_, field)) = known.iter().find(|(short, _)| *short == word) {
        return (*field).to_owned();
    }
    if let Some((restarts, period)) = word.split_once('/') {
        return format!("intensity: {{maxRestarts: {restarts}, periodSeconds: {period}}}");
    }
    if let Some(replicas) = word.strip_prefix('x') {
        return format!("replicas: {replicas}, quorum: {replicas}");
    }
    word.replacen(':', ": ", 1)
}

/// The template of a worker; `grace:5` is its grace, and `image:two` its image.
fn template(words: &[&str]) -> String {
    let said = |key| words.iter().find_map(|word| word.strip_prefix(key));
    let grace = said("grace:").map_or_else(String::new, |seconds| {
        format!("terminationGracePeriodSeconds: {seconds}, ")
    });
    let image = said("image:").unwrap_or("one");
    format!("template: {{spec: {{{grace}containers: [{{name: app, image: {image}}}]}}}}")
}

/// A child in one line: its name, then the words of [`field`] and [`template`]; `sup` makes it a supervisor, `off`
/// disables
/// it, and `name@parent` puts it below another one than `s`.
fn child(line: &str) -> String {
    let mut words: Vec<&str> = line.split_whitespace().collect();
    let name = words.remove(0);
    let (name, parent) = name.split_once('@').unwrap_or((name, "s"));
    let is_supervisor = words.contains(&"sup");
    let enabled = !words.contains(&"off");
    let (kind, given) = if is_supervisor {
        ("supervisor", PROFILE.to_owned())
    } else {
        ("worker", template(&words))
    };
    let is_field = |word: &&&str| {
        !["sup", "off"].contains(*word)
            && !word.starts_with("grace:")
            && !word.starts_with("image:")
    };
    let fields = words.iter().filter(is_field).map(|word| field(word));
    let fields: Vec<String> = fields.chain([given]).collect();
    let mut text = format!("{{name: {name}, enabled: {enabled}, ");
    if parent != "root" {
        write!(text, "parent: {parent}, ").unwrap();
    }
    write!(text, "{kind}: {{{}}}}}", fields.join(", ")).unwrap();
    text
}

/// A tree under test, and how much of what it did was looked at.
struct Otp {
    lab: Lab,
    seen: usize,
}

impl Deref for Otp {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        &self.lab
    }
}

impl DerefMut for Otp {
    fn deref_mut(&mut self) -> &mut Lab {
        &mut self.lab
    }
}

/// The supervisor `s` with those flags and children, not asked to run yet.
fn idle(flags: &str, children: &[&str]) -> Otp {
    let s = format!("s@root sup temp {flags}");
    let lines = [s.as_str()].into_iter().chain(children.iter().copied());
    let list: String = lines.fold(String::new(), |list, line| {
        format!("{list}- {}\n", child(line))
    });
    let root = PROFILE.replace(", on", "\non").replace(", back", "\nback");
    Otp {
        lab: Lab::new(&format!(
            "{root}\nonGiveUp: Stop\nintensity: {{maxRestarts: 100, periodSeconds: 3600}}\nchildren:\n{list}"
        )),
        seen: 0,
    }
}

/// The supervisor `s` with those flags and children, up.
fn sup(flags: &str, children: &[&str]) -> Otp {
    let mut otp = idle(flags, children);
    otp.run(SETTLES);
    otp.steps();
    otp
}

impl Otp {
    /// What was stopped by order and started since the last look, in order.
    fn steps(&mut self) -> String {
        let steps = trace(&self.lab, self.seen);
        self.seen = self.lab.log.len();
        steps
    }

    /// A child ends by itself, and what follows comes to rest.
    fn exit(&mut self, child: &str, code: i32) {
        self.exit_slot(child, 0, code);
    }

    /// A replica ends by itself, and what follows comes to rest.
    fn exit_slot(&mut self, child: &str, slot: i32, code: i32) {
        self.lab.kill(child, slot, code);
        self.lab.run(SETTLES);
    }

    /// The children with a Pod that is Ready, in the order of the spec, once for each Pod.
    fn up(&self) -> String {
        let children = self.world.tree.spec.children.iter();
        let up = children.flat_map(|child| {
            let pods = self.pods().filter(|pod| {
                pod.child == child.name && !pod.is_deleting() && pod.containers[0].ready
            });
            pods.map(|pod| pod.child.clone())
        });
        up.collect::<Vec<_>>().join(" ")
    }

    /// Which life the first replica of a child is in.
    fn life(&self, child: &str) -> String {
        self.life_of(child, 0)
    }

    /// Which life a replica is in.
    fn life_of(&self, child: &str, slot: i32) -> String {
        let mut pods = self.pods().filter(|pod| {
            pod.child == child && pod.slot == slot && !pod.is_deleting() && !pod.is_terminal()
        });
        let pod = pods.next().expect("the replica has a Pod");
        format!("{}, run {}", pod.uid, pod.containers[0].restarts)
    }

    /// The charges in the window of a supervisor.
    fn charged(&self, supervisor: &str) -> usize {
        self.charges(supervisor).values().sum()
    }

    /// Whether a supervisor has given up, and nobody starts it again.
    fn gave_up(&self, supervisor: &str) -> bool {
        let records = &self.world.tree.status.supervisors;
        let mut entries = records.iter().flat_map(|record| &record.gave_up);
        entries.any(|entry| entry.waiting && entry.child == supervisor)
    }

    /// Whether a supervisor has shut itself down, and nobody starts it again.
    fn has_shut_down(&self, supervisor: &str) -> bool {
        let record = self.record(supervisor);
        record.is_some_and(|record| record.finished.is_some())
    }

    /// Edits a child.
    fn change(&mut self, child: &str, change: impl FnOnce(&mut Child)) {
        self.edit(|spec| change(child_mut(spec, child)));
        self.run(SETTLES);
    }

    /// Disables or enables a child.
    fn enable(&mut self, child: &str, enabled: bool) {
        self.change(child, |child| child.enabled = enabled);
    }

    /// Adds a child at the end.
    fn add(&mut self, line: &str) {
        let added: Child = serde_yaml::from_str(&child(line)).unwrap();
        self.edit(|spec| spec.children.push(added));
        self.run(SETTLES);
    }

    /// Removes a child.
    fn remove(&mut self, child: &str) {
        self.edit(|spec| spec.children.retain(|one| one.name != child));
        self.run(SETTLES);
    }

    /// Gives a child of the spec other words.
    fn rewrite(&mut self, line: &str) {
        let new: Child = serde_yaml::from_str(&child(line)).unwrap();
        let name = new.name.clone();
        self.change(&name, |child| *child = new);
    }

    /// Asks for another number of replicas.
    fn replicas(&mut self, child: &str, replicas: i32) {
        self.change(child, |child| {
            child.worker.as_mut().unwrap().replicas = Some(replicas);
        });
    }

    /// Deletes the tree, and gives it that many seconds.
    fn delete_tree(&mut self, seconds: i64) {
        self.tree_mut().deleting = true;
        self.run(seconds);
    }

    /// Whether nothing of a deleted tree is left.
    fn is_gone(&self) -> bool {
        self.world.tree.finalizers.is_empty() && self.pods().next().is_none()
    }

    /// The next starts of a child fail, that many of them.
    fn fail(&mut self, child: &str, starts: usize) {
        self.lab.failing.insert(child.to_owned(), vec![1; starts]);
    }

    /// In its next start, a child has nothing to do and ends cleanly.
    fn ignore(&mut self, child: &str) {
        self.lab.failing.insert(child.to_owned(), vec![0]);
    }

    /// How many starts of a child have failed, of those that were to.
    fn failed(&self, child: &str, starts: usize) -> usize {
        starts - self.lab.failing[child].len()
    }
}

fn child_mut<'a>(spec: &'a mut SupervisionTreeSpec, name: &str) -> &'a mut Child {
    let mut children = spec.children.iter_mut();
    children.find(|child| child.name == name).unwrap()
}
