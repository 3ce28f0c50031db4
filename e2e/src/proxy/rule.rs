//! Rules: which requests something goes wrong with, how often, and what.
//!
//! Rule: the same seed and the same requests in the same order bring the same faults.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::call::Call;
use crate::pid::Pid;

/// Which requests are meant. What is left empty is not asked about.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    verbs: Vec<&'static str>,
    resources: Vec<&'static str>,
    name: String,
    query: &'static str,
    writes: bool,
}

impl Filter {
    /// All requests.
    pub fn all() -> Self {
        Self::default()
    }

    /// All writes but those of Events.
    pub fn writes() -> Self {
        Self {
            writes: true,
            ..Self::default()
        }
    }

    /// Requests with one of these verbs on one of these resources; none: any.
    pub fn of(verbs: &[&'static str], resources: &[&'static str]) -> Self {
        Self {
            verbs: verbs.to_vec(),
            resources: resources.to_vec(),
            ..Self::default()
        }
    }

    /// Only those on objects whose names begin so. A create does not say the name, so it is not among them.
    #[must_use]
    pub fn named(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.name);
        self
    }

    /// Only those with that in their query.
    #[must_use]
    pub fn with_query(mut self, part: &'static str) -> Self {
        self.query = part;
        self
    }

    /// Whether that request is meant.
    pub fn matches(&self, call: &Call) -> bool {
        (self.verbs.is_empty() || self.verbs.contains(&call.verb))
            && (self.resources.is_empty() || self.resources.contains(&call.resource.as_str()))
            && call.name.starts_with(&self.name)
            && call.query.contains(self.query)
            && (!self.writes || call.is_write() && !call.is_event())
    }
}

/// When something goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Before the API server hears of the request.
    Before,
    /// After the API server has done what was asked. What it refused is answered as it was.
    After,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// That answer, in the API server's words, with so many seconds of `Retry-After`.
    Answer(u16, Option<u32>),
    /// A watch that begins, and says in its stream that something is wrong.
    InStream(u16),
    /// A watch that asks for everything since the first version that there was: all that is still known is told again.
    OldVersion,
    /// No answer, ever.
    Hang,
    /// The connection is closed.
    Close,
    /// The rest comes that much later.
    Delay(Duration),
    /// The rest comes when the rule is taken away.
    Hold,
    /// That process is killed, and hears nothing more.
    Kill(Pid),
}

/// What is to go wrong with which requests.
#[derive(Debug, Clone)]
pub struct Rule {
    filter: Filter,
    when: When,
    fault: Fault,
    percent: u8,
    skip: u64,
    times: u64,
}

impl Rule {
    /// Every one of these requests goes wrong so, before the API server hears of it.
    pub fn before(filter: Filter, fault: Fault) -> Self {
        Self {
            filter,
            when: When::Before,
            fault,
            percent: 100,
            skip: 0,
            times: u64::MAX,
        }
    }

    /// Every one of these requests goes wrong so, after the API server has done what was asked.
    pub fn after(filter: Filter, fault: Fault) -> Self {
        Self {
            when: When::After,
            ..Self::before(filter, fault)
        }
    }

    /// Not every one: that many of a hundred, by the seed.
    #[must_use]
    pub fn percent(mut self, percent: u8) -> Self {
        self.percent = percent;
        self
    }

    /// Not the first ones.
    #[must_use]
    pub fn skip(mut self, count: u64) -> Self {
        self.skip = count;
        self
    }

    /// At most that often.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }
}

/// Names a rule, a silence or a watch; what came later is greater.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleId(u64);

impl RuleId {
    pub(super) fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// All rules, with how often each has applied.
pub(super) struct Rules {
    dice: fastrand::Rng,
    all: Vec<(RuleId, Rule, u64)>,
}

impl Rules {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            dice: fastrand::Rng::with_seed(seed),
            all: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, rule: Rule) -> RuleId {
        let id = RuleId::fresh();
        self.all.push((id, rule, 0));
        id
    }

    pub(super) fn remove(&mut self, id: RuleId) -> u64 {
        let hits = self.hits(id);
        self.all.retain(|(known, ..)| *known != id);
        hits
    }

    pub(super) fn hits(&self, id: RuleId) -> u64 {
        let rule = self.all.iter().find(|(known, ..)| *known == id);
        rule.map_or(0, |(.., hits)| *hits)
    }

    pub(super) fn is_there(&self, id: RuleId) -> bool {
        self.all.iter().any(|(known, ..)| *known == id)
    }

    /// What is to go wrong with that request at that moment.
    pub(super) fn decide(&mut self, call: &Call, when: When) -> Option<(RuleId, Fault)> {
        for (id, rule, hits) in &mut self.all {
            if rule.when != when || rule.times == 0 || !rule.filter.matches(call) {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            if rule.percent >= 100 || self.dice.u8(0..100) < rule.percent {
                rule.times -= 1;
                *hits += 1;
                return Some((*id, rule.fault));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(verb: &'static str, name: &str) -> Call {
        Call {
            verb,
            resource: "pods".to_owned(),
            name: name.to_owned(),
            ..Call::default()
        }
    }

    #[test]
    fn filters_ask_about_what_they_say() {
        let deletes = Filter::of(&["delete"], &["pods"]).named("a-");
        assert!(deletes.matches(&call("delete", "a-1")));
        assert!(!deletes.matches(&call("delete", "b-1")));
        assert!(!deletes.matches(&call("create", "a-1")));
        assert!(Filter::writes().matches(&call("create", "")));
        assert!(!Filter::writes().matches(&call("list", "")));
        assert!(
            !Filter::all()
                .with_query("continue=")
                .matches(&call("list", ""))
        );
    }

    #[test]
    fn a_rule_skips_and_ends() {
        let mut rules = Rules::new(1);
        let rule = Rule::after(Filter::all(), Fault::Hang).skip(1).times(1);
        let id = rules.add(rule);
        let mut decide = |when| rules.decide(&call("get", "p"), when).is_some();
        let decided = [When::Before, When::After, When::After, When::After].map(&mut decide);
        assert_eq!(decided, [false, false, true, false]);
        assert_eq!(rules.remove(id), 1);
        assert!(!rules.is_there(id));
    }

    #[test]
    fn the_seed_decides() {
        let story = |seed| {
            let mut rules = Rules::new(seed);
            rules.add(Rule::before(Filter::all(), Fault::Close).percent(30));
            let decide = |_| rules.decide(&call("get", "p"), When::Before).is_some();
            (0..1000).map(decide).collect::<Vec<bool>>()
        };
        assert_eq!(story(7), story(7));
        assert_ne!(story(7), story(8));
        let faults = story(7).into_iter().filter(|fault| *fault).count();
        assert!((200..400).contains(&faults), "{faults}");
    }
}
