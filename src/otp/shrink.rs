//! Makes a history that differs as small as it can.
//!
//! Rule: a smaller history is taken only if it differs, too; whether it does is asked of both sides anew.

use super::history::{
    Action, AutoShutdown, Child, History, Kind, Reason, Restart, Strategy, Supervisor,
};

/// How many times a smaller one is looked for.
const ROUNDS: usize = 60;

/// For each history, the smallest one found of which `fails` is true, too. It is asked about many histories at once, because
/// its answers take seconds of real time.
pub(super) fn shrink(
    histories: &[History],
    mut fails: impl FnMut(&[History]) -> Vec<bool>,
) -> Vec<History> {
    let mut smallest = histories.to_vec();
    for _ in 0..ROUNDS {
        let smaller: Vec<Vec<History>> = smallest.iter().map(candidates).collect();
        let mut failing = fails(&smaller.concat()).into_iter();
        let mut found_any = false;
        for (known, smaller) in smallest.iter_mut().zip(smaller) {
            let failing = smaller.into_iter().zip(failing.by_ref());
            let found = failing.filter(|(_, fails)| *fails);
            let found = found.min_by_key(|(history, _)| size(history));
            if let Some((next, _)) = found {
                *known = next;
                found_any = true;
            }
        }
        if !found_any {
            break;
        }
    }
    smallest
}

/// What makes a history hard to read. Each candidate is smaller by it.
fn size(history: &History) -> usize {
    let steps = history.steps.iter().map(|step| {
        let more = match &step.action {
            Action::Exit(deaths) => deaths
                .iter()
                .map(|(_, reason)| 4 + 2 * usize::from(*reason != Reason::Error))
                .sum(),
            Action::Add { child, .. } => 10 + size_of(child),
            _ => 8,
        };
        20 + more + step.second as usize
    });
    steps.sum::<usize>() + size_below(&history.tree)
}

fn size_below(supervisor: &Supervisor) -> usize {
    let flags = &supervisor.flags;
    let own = 2 * usize::from(flags.strategy != Strategy::OneForOne)
        + 4 * usize::from(flags.auto_shutdown != AutoShutdown::Never)
        + usize::from(flags.period != 60)
        + flags.intensity as usize;
    own + supervisor.children.iter().map(size_of).sum::<usize>()
}

fn size_of(child: &Child) -> usize {
    let own = 12
        + 2 * usize::from(child.restart != Restart::Permanent)
        + usize::from(child.significant)
        + usize::from(!child.enabled);
    own + match &child.kind {
        Kind::Worker(script) => 2 * script.len() + script.iter().filter(|ok| !**ok).count(),
        Kind::Supervisor(below) => 6 + size_below(below),
    }
}

/// All histories that are a little smaller.
fn candidates(history: &History) -> Vec<History> {
    let mut found = Vec::new();
    let mut push = |history: History| found.push(history);
    for index in 0..history.steps.len() {
        let mut smaller = history.clone();
        smaller.steps.remove(index);
        push(smaller);
        let mut smaller = history.clone();
        smaller.steps.truncate(index);
        push(smaller);
        for action in smaller_actions(&history.steps[index].action) {
            let mut smaller = history.clone();
            smaller.steps[index].action = action;
            push(smaller);
        }
        if history.steps[index].second > 0 {
            let mut smaller = history.clone();
            for step in &mut smaller.steps[index..] {
                step.second -= 1;
            }
            let ordered = smaller.steps.is_sorted_by_key(|step| step.second);
            ordered.then(|| push(smaller));
        }
    }
    for tree in smaller_trees(&history.tree) {
        push(History {
            tree,
            ..history.clone()
        });
    }
    found
}

fn smaller_actions(action: &Action) -> Vec<Action> {
    let Action::Exit(deaths) = action else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for index in 0..deaths.len() {
        if deaths.len() > 1 {
            let mut fewer = deaths.clone();
            fewer.remove(index);
            found.push(Action::Exit(fewer));
        }
        if deaths[index].1 != Reason::Error {
            let mut plain = deaths.clone();
            plain[index].1 = Reason::Error;
            found.push(Action::Exit(plain));
        }
    }
    found
}

fn smaller_trees(supervisor: &Supervisor) -> Vec<Supervisor> {
    let mut found = Vec::new();
    let flags = supervisor.flags;
    let mut with = |change: &dyn Fn(&mut Supervisor)| {
        let mut smaller = supervisor.clone();
        change(&mut smaller);
        found.push(smaller);
    };
    if flags.strategy != Strategy::OneForOne {
        with(&|s| s.flags.strategy = Strategy::OneForOne);
    }
    if flags.auto_shutdown != AutoShutdown::Never {
        with(&|s| {
            s.flags.auto_shutdown = AutoShutdown::Never;
            s.children.iter_mut().for_each(|c| c.significant = false);
        });
    }
    if flags.period != 60 {
        with(&|s| s.flags.period = 60);
    }
    if flags.intensity > 0 {
        with(&|s| s.flags.intensity -= 1);
    }
    for index in 0..supervisor.children.len() {
        with(&|s| {
            s.children.remove(index);
        });
        for child in smaller_children(&supervisor.children[index]) {
            with(&|s| s.children[index] = child.clone());
        }
    }
    found
}

fn smaller_children(child: &Child) -> Vec<Child> {
    let mut found = Vec::new();
    if child.restart != Restart::Permanent {
        found.push(Child {
            restart: Restart::Permanent,
            significant: false,
            ..child.clone()
        });
    }
    if child.significant {
        found.push(Child {
            significant: false,
            ..child.clone()
        });
    }
    let mut with = |kind: Kind| {
        found.push(Child {
            kind,
            ..child.clone()
        });
    };
    match &child.kind {
        Kind::Worker(script) => {
            for index in 0..script.len() {
                let mut shorter = script.clone();
                shorter.remove(index);
                with(Kind::Worker(shorter));
                let mut better = script.clone();
                better[index] = true;
                (better != *script).then(|| with(Kind::Worker(better)));
            }
        }
        Kind::Supervisor(below) => {
            for smaller in smaller_trees(below) {
                with(Kind::Supervisor(smaller));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_is_shrunk_to_what_matters() {
        let history = History::of(7);
        let exits = |history: &History| {
            let steps = history.steps.iter();
            steps
                .filter(|step| matches!(step.action, Action::Exit(_)))
                .count()
                >= 1
        };
        assert!(exits(&history), "{history}");
        let smallest = shrink(&[history], |all| all.iter().map(exits).collect()).remove(0);
        assert_eq!(smallest.steps.len(), 1, "{smallest}");
        assert_eq!(smallest.tree.children, Vec::new(), "{smallest}");
    }

    #[test]
    fn each_candidate_is_smaller() {
        for seed in 0..50 {
            let history = History::of(seed);
            for smaller in candidates(&history) {
                assert!(size(&smaller) < size(&history), "{history}{smaller}");
            }
        }
    }
}
