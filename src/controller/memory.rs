//! What is remembered of a tree between two looks at it, beyond what the API server stores.
//!
//! Rule: all of it may be lost with the process, which lists everything anew when it starts; then something is asked
//! twice or done a little sooner, never wrongly.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::execute::Unanswered;
use super::store::ObjectKey;
use crate::model::RECENT_FAULTS;
use crate::model::world::{Refusal, Try, Untold};
use crate::runtime::leader::Term;

mod statuses;

pub(super) use statuses::Statuses;

/// The least time between two writes of a tree that only report.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// How long a name that is about to come free is waited for before people are told.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How many looks in a row may end in a write before the tree has to wait.
const LONGEST_STREAK: u32 = 100;

/// A kind that we write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Written {
    /// The tree.
    Tree,
    /// A revision of it.
    Revision,
    /// A Worker of it.
    Worker,
    /// The disruption budget of one.
    DisruptionBudget,
    /// A claim of it.
    Claim,
    /// A Pod of it.
    Pod,
}

/// An object whose state is in doubt: a write to it failed in a way that leaves open what it is now.
pub(super) type Doubt = (Written, String);

/// What is remembered of every tree.
#[derive(Debug, Default)]
pub(super) struct Memories(Mutex<HashMap<ObjectKey, Memory>>);

#[derive(Debug, Default)]
struct Memory {
    /// UID of the tree that all this is about.
    uid: String,
    /// Whether its Workers were read since its deletion began.
    counted: bool,
    refusals: Vec<Refusal>,
    /// What the API server last said of a Pod of each child that it was only asked about.
    tried: BTreeMap<String, Try>,
    doubts: BTreeSet<Doubt>,
    /// UIDs of Pods that a status names and that are known not to exist.
    absent: BTreeSet<String>,
    /// What the status of the tree does not show although it was judged.
    untold: Untold,
    /// News that wait until it is known what became of a write.
    unanswered: Vec<Unanswered>,
    reported: Option<Instant>,
    /// Names that are about to come free, and since when they are waited for.
    awaited: HashMap<String, Instant>,
    /// How many looks in a row have ended in a write.
    streak: u32,
    /// The last term in which it was looked at.
    term: Option<Term>,
    /// Why all of it must be read before the next write to it.
    behind: Option<Behind>,
    /// The statuses that we wrote, or that all else is known to be as new as.
    statuses: Option<Statuses>,
}

/// Why what is known of a tree may be older than the last write to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behind {
    /// Another operator, or our own former process, may have written it: what was listed of the tree may be newer than
    /// what was listed of its Workers before.
    Takeover,
    /// A look at it ended in a panic, and took with it the answers to what was under way.
    Panic,
    /// A status names a Pod that nobody here has seen.
    Missing,
    /// A status was written by somebody else.
    Foreign,
}

impl Behind {
    /// One word for metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Takeover => "takeover",
            Self::Panic => "panic",
            Self::Missing => "missing",
            Self::Foreign => "foreign",
        }
    }
}

impl Memories {
    /// The tree is looked at in that term. What another leader may have dealt with since is forgotten; what is in doubt
    /// stays so, and what only we know is still to be told.
    pub(super) fn begin(&self, tree: &ObjectKey, term: Term) {
        let mut memories = self.lock();
        let memory = memories.entry(tree.clone()).or_default();
        if memory.term != Some(term) {
            *memory = Memory {
                doubts: std::mem::take(&mut memory.doubts),
                unanswered: std::mem::take(&mut memory.unanswered),
                uid: std::mem::take(&mut memory.uid),
                untold: std::mem::take(&mut memory.untold),
                term: Some(term),
                behind: Some(Behind::Takeover),
                ..Memory::default()
            };
        }
    }

    /// The tree of that name has this UID. What was remembered of a former one of that name is not about this one.
    pub(super) fn belongs_to(&self, tree: &ObjectKey, uid: &str) {
        let mut memories = self.lock();
        let memory = memories.entry(tree.clone()).or_default();
        if memory.uid != uid {
            // A doubt is about an object, whoever made it.
            let doubts = std::mem::take(&mut memory.doubts);
            *memory = Memory {
                uid: uid.to_owned(),
                doubts,
                term: memory.term,
                behind: memory.behind,
                ..Memory::default()
            };
        }
    }

    /// A look at the tree ended in a panic.
    pub(super) fn panicked(&self, tree: &ObjectKey) {
        self.lock().entry(tree.clone()).or_default().behind = Some(Behind::Panic);
    }

    /// Whether, and why, all of the tree must be read before the next write to it.
    pub(super) fn behind(&self, tree: &ObjectKey) -> Option<Behind> {
        self.lock().get(tree)?.behind
    }

    /// All of the tree was read in that term.
    pub(super) fn was_read(&self, tree: &ObjectKey, term: Term) {
        if let Some(memory) = self.lock().get_mut(tree)
            && memory.term == Some(term)
        {
            memory.behind = None;
        }
    }

    /// The tree is being deleted. Returns whether its Workers are to be read for that, once.
    pub(super) fn must_count(&self, tree: &ObjectKey) -> bool {
        let mut memories = self.lock();
        let memory = memories.entry(tree.clone()).or_default();
        !std::mem::replace(&mut memory.counted, true)
    }

    /// A create was refused; the next decision shall know.
    pub(super) fn refused(&self, tree: &ObjectKey, refusal: Refusal) {
        self.lock()
            .entry(tree.clone())
            .or_default()
            .refusals
            .push(refusal);
    }

    /// The API server was asked whether it would take a Pod of that child.
    pub(super) fn has_tried(&self, tree: &ObjectKey, child: &str, answer: Try) {
        let mut memories = self.lock();
        let memory = memories.entry(tree.clone()).or_default();
        memory.tried.insert(child.to_owned(), answer);
    }

    /// What the API server said of Pods that it was only asked about.
    pub(super) fn tried(&self, tree: &ObjectKey) -> BTreeMap<String, Try> {
        let memories = self.lock();
        let memory = memories.get(tree);
        memory
            .map(|memory| memory.tried.clone())
            .unwrap_or_default()
    }

    /// The refusals that no decision has dealt with.
    pub(super) fn refusals(&self, tree: &ObjectKey) -> Vec<Refusal> {
        self.lock()
            .get(tree)
            .map(|memory| memory.refusals.clone())
            .unwrap_or_default()
    }

    /// The decision that knew the oldest `count` refusals is stored.
    pub(super) fn dealt_with(&self, tree: &ObjectKey, count: usize) {
        if let Some(memory) = self.lock().get_mut(tree) {
            memory.refusals.drain(..count.min(memory.refusals.len()));
        }
    }

    /// This was judged, and the tree could not be told. No more faults are kept than a tree shows.
    pub(super) fn left_untold(&self, tree: &ObjectKey, news: Untold) {
        let mut memories = self.lock();
        let Untold { faults, restarts } = &mut memories.entry(tree.clone()).or_default().untold;
        *restarts = news.restarts.max(*restarts);
        faults.retain(|known| !news.faults.contains(known));
        faults.extend(news.faults);
        faults.drain(..faults.len().saturating_sub(RECENT_FAULTS));
    }

    /// What the tree could not be told.
    pub(super) fn untold(&self, tree: &ObjectKey) -> Untold {
        let memories = self.lock();
        memories
            .get(tree)
            .map_or_else(Untold::default, |memory| memory.untold.clone())
    }

    /// A decision that knew all of them is stored in the tree.
    pub(super) fn told(&self, tree: &ObjectKey) {
        if let Some(memory) = self.lock().get_mut(tree) {
            memory.untold = Untold::default();
        }
    }

    /// These news wait until it is known what became of the write that they tell of.
    pub(super) fn await_answer(&self, tree: &ObjectKey, news: Unanswered) {
        let mut memories = self.lock();
        let waiting = &mut memories.entry(tree.clone()).or_default().unanswered;
        waiting.retain(|known| !known.says_the_same(&news));
        waiting.push(news);
    }

    /// A later status of that child's Worker, or of the tree, is stored: no earlier one ever will be.
    pub(super) fn answered(&self, tree: &ObjectKey, child: Option<&str>) {
        if let Some(memory) = self.lock().get_mut(tree) {
            memory.unanswered.retain(|one| one.child() != child);
        }
    }

    /// The news that wait, which is known by now.
    pub(super) fn take_unanswered(&self, tree: &ObjectKey) -> Vec<Unanswered> {
        let mut memories = self.lock();
        let memory = memories.get_mut(tree);
        memory.map_or_else(Vec::new, |memory| std::mem::take(&mut memory.unanswered))
    }

    /// The object must be read before the next decision.
    pub(super) fn doubt(&self, tree: &ObjectKey, kind: Written, name: impl Into<String>) {
        self.lock()
            .entry(tree.clone())
            .or_default()
            .doubts
            .insert((kind, name.into()));
    }

    /// The objects that must be read.
    pub(super) fn doubts(&self, tree: &ObjectKey) -> BTreeSet<Doubt> {
        self.lock()
            .get(tree)
            .map(|memory| memory.doubts.clone())
            .unwrap_or_default()
    }

    /// The object was read.
    pub(super) fn settled(&self, tree: &ObjectKey, doubt: &Doubt) {
        if let Some(memory) = self.lock().get_mut(tree) {
            memory.doubts.remove(doubt);
        }
    }

    /// The API server was asked: Pods with these UIDs do not exist.
    pub(super) fn are_absent(&self, tree: &ObjectKey, uids: impl Iterator<Item = String>) {
        self.lock()
            .entry(tree.clone())
            .or_default()
            .absent
            .extend(uids);
    }

    /// The UIDs of Pods that are known not to exist.
    pub(super) fn absent(&self, tree: &ObjectKey) -> BTreeSet<String> {
        self.lock()
            .get(tree)
            .map(|memory| memory.absent.clone())
            .unwrap_or_default()
    }

    /// Forgets the absence of all Pods but these.
    pub(super) fn keep_absent(&self, tree: &ObjectKey, uids: &BTreeSet<String>) {
        if let Some(memory) = self.lock().get_mut(tree) {
            memory.absent.retain(|uid| uids.contains(uid));
        }
    }

    /// Whether a write that only reports may be made now; else when.
    pub(super) fn may_report(&self, tree: &ObjectKey, now: Instant) -> Result<(), Instant> {
        let due = self
            .lock()
            .get(tree)
            .and_then(|memory| memory.reported)
            .map(|last| last + REPORT_INTERVAL);
        due.filter(|due| *due > now).map_or(Ok(()), Err)
    }

    /// A report was written.
    pub(super) fn reported(&self, tree: &ObjectKey, now: Instant) {
        self.lock().entry(tree.clone()).or_default().reported = Some(now);
    }

    /// A name that is needed is held by something that is about to go. Returns whether that may still be waited for
    /// without a word.
    pub(super) fn waits_for(&self, tree: &ObjectKey, name: &str, now: Instant) -> bool {
        let mut memories = self.lock();
        let awaited = &mut memories.entry(tree.clone()).or_default().awaited;
        // What was waited for long ago is another story.
        awaited.retain(|_, since| now - *since < LONGEST_WAIT * 10);
        let since = *awaited.entry(name.to_owned()).or_insert(now);
        now - since < LONGEST_WAIT
    }

    /// A look ended in a write, or in none. Returns whether there were too many writes in a row: somebody undoes what
    /// we do, and both of us would be busy for ever.
    pub(super) fn wrote(&self, tree: &ObjectKey, wrote: bool) -> bool {
        let mut memories = self.lock();
        let memory = memories.entry(tree.clone()).or_default();
        memory.streak = if wrote { memory.streak + 1 } else { 0 };
        memory.streak > LONGEST_STREAK
    }

    /// How many trees are remembered.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    /// The tree is gone.
    pub(super) fn forget(&self, tree: &ObjectKey) {
        self.lock().remove(tree);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, Memory>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
