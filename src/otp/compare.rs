//! Where two traces of one history differ.
//!
//! Rule: all is compared, in order, up to where OTP itself leaves it to chance; only what is compared may be counted as covered.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::history::{Action, History};
use super::trace::{Event, Followed, Trace, parents};

/// The first step after which the two sides differ, 0 being the start of the tree.
pub(super) fn difference(history: &History, otp: &Trace, ours: &Trace) -> Option<usize> {
    let mut compared = 0..compared(history, otp);
    compared.find(|number| {
        ours.get(*number)
            .is_none_or(|own| differ(history, *number, otp, own))
    })
}

/// How many steps are compared.
pub(super) fn compared(history: &History, otp: &Trace) -> usize {
    let last = (0..otp.len()).find(|number| is_last(history, otp, *number));
    let is_compared = |last: usize| compared_of(history, last, otp, &otp[last].events).is_some();
    last.map_or(otp.len(), |last| last + usize::from(is_compared(last)))
}

/// Those of the events that followed a step on one side that are compared; `None` when nothing of the step is.
pub(super) fn compared_of<'a>(
    history: &History,
    number: usize,
    otp: &Trace,
    events: &'a [Event],
) -> Option<Vec<&'a Event>> {
    let theirs = &otp[number];
    let failed = |event: &Event| matches!(event, Event::Failed(_));
    if !is_last(history, otp, number) {
        Some(events.iter().collect())
    } else if theirs.excluded || theirs.several || theirs.events.iter().any(failed) {
        None
    } else {
        Some(without_haste(events, &dead(history, otp, number)))
    }
}

/// Whether the comparison ends with that step.
///
/// Difference 11 (deaths seen together): they are judged before any start. OTP judges one, starts again what it has to, and looks at
/// the next then. When a supervisor gives up over them, OTP has started some children once more than we have; from then
/// on the scripts, which count starts, say different things.
fn is_last(history: &History, otp: &Trace, number: usize) -> bool {
    let followed = &otp[number];
    let exits = |event: &Event| matches!(event, Event::Exited(..));
    followed.excluded || dead(history, otp, number).len() > 1 && followed.events.iter().any(exits)
}

/// The workers that ended by themselves in that step.
fn dead<'a>(history: &'a History, otp: &Trace, number: usize) -> Vec<&'a str> {
    let Some(before) = number.checked_sub(1) else {
        return Vec::new();
    };
    let Action::Exit(deaths) = &history.steps[before].action else {
        return Vec::new();
    };
    let names = deaths.iter().map(|(name, _)| name.as_str());
    names
        .filter(|name| otp[before].up.contains(*name))
        .collect()
}

fn differ(history: &History, number: usize, otp: &Trace, ours: &Followed) -> bool {
    let theirs = &otp[number];
    let of = |side: &Followed| {
        let events = compared_of(history, number, otp, &side.events)?;
        Some(events.into_iter().cloned().collect::<Vec<Event>>())
    };
    let (Some(their_events), Some(own_events)) = (of(theirs), of(ours)) else {
        return false;
    };
    let is_same = if theirs.several {
        by_supervisor(history, &their_events) == by_supervisor(history, &own_events)
    } else {
        their_events == own_events
    };
    !is_same || theirs.up != ours.up
}

/// The events of each supervisor's children, in order.
fn by_supervisor<'a>(history: &History, events: &'a [Event]) -> BTreeMap<String, Vec<&'a Event>> {
    let parents = parents(history);
    let mut found: BTreeMap<String, Vec<&Event>> = BTreeMap::new();
    for event in events {
        let parent = parents.get(event.subject()).cloned();
        found
            .entry(parent.unwrap_or_default())
            .or_default()
            .push(event);
    }
    found
}

/// Without what OTP had started again between two deaths of one instant, and had to stop at once.
fn without_haste<'a>(events: &'a [Event], dead: &[&str]) -> Vec<&'a Event> {
    let exit = events
        .iter()
        .position(|event| matches!(event, Event::Exited(..)));
    let (before, after) = events.split_at(exit.unwrap_or(0));
    let rest = before
        .iter()
        .filter(|event| !dead.contains(&event.subject()));
    rest.chain(after).collect()
}

/// A history and both traces, side by side.
pub(super) fn side_by_side(history: &History, otp: &Trace, ours: &Trace) -> String {
    let mut text = format!("{history}\n  {:<44}OURS\n", "OTP");
    for (number, theirs) in otp.iter().enumerate() {
        let nothing = Followed::default();
        let own = ours.get(number).unwrap_or(&nothing);
        let what = match number.checked_sub(1) {
            None => "first start".to_owned(),
            Some(index) => history.steps[index].action.to_string(),
        };
        let skipped = if theirs.skipped { " (cannot be)" } else { "" };
        let mark = if differ(history, number, otp, own) {
            " <<<"
        } else {
            ""
        };
        writeln!(text, "{number}. {what}{skipped}{mark}").expect("a string takes all");
        let (left, right) = (lines(theirs), lines(own));
        for row in 0..left.len().max(right.len()) {
            let cell = |lines: &[String]| lines.get(row).cloned().unwrap_or_default();
            let (left, right) = (cell(&left), cell(&right));
            let sign = if left == right { ' ' } else { '|' };
            writeln!(text, "  {left:<42}{sign} {right}").expect("a string takes all");
        }
    }
    text
}

fn lines(followed: &Followed) -> Vec<String> {
    let mut lines: Vec<String> = followed.events.iter().map(ToString::to_string).collect();
    let up: Vec<&str> = followed.up.iter().map(String::as_str).collect();
    lines.push(format!("up: {}", up.join(" ")));
    lines
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::otp::history::{AutoShutdown, Child, Flags, Kind, Reason, Restart, Step};
    use crate::otp::history::{Strategy, Supervisor};
    use crate::otp::trace::{Coverage, End};

    /// Two workers that end in one instant, which takes their supervisor down.
    fn history() -> History {
        let worker = |name: &str| Child {
            name: name.to_owned(),
            restart: Restart::Permanent,
            significant: false,
            enabled: true,
            kind: Kind::Worker(Vec::new()),
        };
        let flags = Flags {
            strategy: Strategy::OneForOne,
            intensity: 1,
            period: 5,
            auto_shutdown: AutoShutdown::Never,
        };
        let deaths = ["a", "b"].map(|name| (name.to_owned(), Reason::Error));
        History {
            seed: 0,
            tree: Supervisor {
                flags,
                children: vec![worker("a"), worker("b")],
            },
            steps: vec![Step {
                second: 0,
                action: Action::Exit(deaths.to_vec()),
            }],
        }
    }

    fn followed(events: Vec<Event>, up: &[&str]) -> Followed {
        Followed {
            events,
            up: up
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<BTreeSet<_>>(),
            ..Followed::default()
        }
    }

    #[test]
    fn only_what_is_compared_is_covered() {
        let [start, failed, stopped] =
            [Event::Start, Event::Failed, Event::Stopped].map(|event| event("a".to_owned()));
        let exited = Event::Exited("root".to_owned(), End::GaveUp);
        let both = vec![start.clone(), Event::Start("b".to_owned())];
        for (events, steps, compared, give_ups) in [
            // What a script says of the next start is another thing on either side.
            (vec![failed, exited.clone()], 0, 2, 0),
            // OTP was hasty with a: only the end is compared.
            (vec![start, stopped, exited], 1, 3, 1),
        ] {
            let told = events.len();
            let trace = vec![
                followed(both.clone(), &["a", "b", "root"]),
                followed(events, &[]),
            ];
            let mut coverage = Coverage::default();
            coverage.add(&history(), &trace);
            let of_steps = (coverage.steps, coverage.all_steps);
            let of_events = (coverage.events, coverage.all_events);
            assert_eq!(of_steps, (steps, 1));
            assert_eq!(of_events, (compared, 2 + told));
            assert_eq!((coverage.give_up, coverage.together), (give_ups, steps));
        }
    }
}
