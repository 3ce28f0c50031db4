//! What `--fault` and `--crash-loop` say: which replica, what befalls it, and when.
//!
//! Rule: what is read here is complete and could befall some tree; whether the tree has such a child is asked later.

use std::fmt;
use std::str::FromStr;

use super::scene::{self, Scene};
use super::schema;
use super::time::{format_time, parse_time};
use crate::model::fault::Class;

/// Highest exit code of a process.
const LAST_EXIT_CODE: i32 = 255;
/// Highest signal number.
const LAST_SIGNAL: i32 = 64;
/// What the exit code of a program adds to the signal that ended it.
const SIGNAL_BASE: i32 = 128;

/// A child, or one replica of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Name of the child.
    pub child: String,
    /// Slot of the replica; `None` when none is named.
    pub slot: Option<i32>,
}

/// Something that befalls a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The replica; slot 0 when none is named.
    pub target: Target,
    /// What it was called.
    cause: Cause,
    /// When, in seconds since the start of the simulation; `None`: once the tree has become Ready.
    pub at: Option<i64>,
}

/// What befalls a replica, as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Class(Class),
    Exit(i32),
    Signal(i32),
}

impl Fault {
    /// How it is acted out.
    pub(super) fn scene(&self) -> Scene {
        match self.cause {
            Cause::Exit(code) => Scene::exit(code),
            Cause::Signal(number) => Scene::exit(SIGNAL_BASE + number),
            // A class that cannot be acted out was refused when it was read.
            Cause::Class(class) => scene::of(class).unwrap_or(Scene::Deleted(None)),
        }
    }

    /// The class that was named, if one was.
    pub(super) fn class(&self) -> Option<Class> {
        match self.cause {
            Cause::Class(class) => Some(class),
            Cause::Exit(_) | Cause::Signal(_) => None,
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (child, slot) = match text.split_once('/') {
            None => (text, None),
            Some((child, slot)) => {
                let number = slot.parse::<u16>().map_err(|_| {
                    format!("'{slot}' is not a slot: expected a number, as in {child}/0")
                })?;
                (child, Some(i32::from(number)))
            }
        };
        if child.is_empty() {
            return Err("expected the name of a child".to_owned());
        }
        Ok(Self {
            child: child.to_owned(),
            slot,
        })
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (target, what) = text.split_once('=').ok_or_else(|| {
            "expected CHILD[/SLOT]=FAULT[@TIME], for example api=OomKilled or db/0=exit:1@30s"
                .to_owned()
        })?;
        let (cause, at) = match what.split_once('@') {
            Some((cause, time)) => (cause, Some(parse_time(time)?)),
            None => (what, None),
        };
        Ok(Self {
            target: target.parse()?,
            cause: cause.parse()?,
            at,
        })
    }
}

impl FromStr for Cause {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(code) = text.strip_prefix("exit:") {
            let code = number(code, 0, LAST_EXIT_CODE);
            return code.map(Self::Exit).map_err(|why| format!("exit:{why}"));
        }
        if let Some(signal) = text.strip_prefix("signal:") {
            let signal = number(signal, 1, LAST_SIGNAL);
            return signal
                .map(Self::Signal)
                .map_err(|why| format!("signal:{why}"));
        }
        let Some(class) = Class::ALL.iter().find(|class| class.as_str() == text) else {
            let known = actable();
            return Err(match schema::alike(text, &known) {
                Some(alike) => format!("'{text}' is no fault; did you mean `{alike}`?"),
                None => format!(
                    "'{text}' is no fault: expected exit:N, signal:N or one of {}",
                    known.join(", ")
                ),
            });
        };
        match scene::of(*class) {
            Ok(_) => Ok(Self::Class(*class)),
            Err(why) => Err(format!("{class} cannot be acted out: {why}")),
        }
    }
}

/// The names of the classes that can be acted out.
fn actable() -> Vec<&'static str> {
    let classes = Class::ALL.iter().filter(|class| scene::of(**class).is_ok());
    classes.map(|class| class.as_str()).collect()
}

fn number(text: &str, least: i32, most: i32) -> Result<i32, String> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text
        .parse()
        .ok()
        .filter(|number| is_plain && (least..=most).contains(number));
    number.ok_or_else(|| format!("{text}: expected a number from {least} to {most}"))
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.slot {
            Some(slot) => write!(f, "{}/{slot}", self.child),
            None => f.write_str(&self.child),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=", self.target)?;
        match self.cause {
            Cause::Class(class) => write!(f, "{class}")?,
            Cause::Exit(code) => write!(f, "exit:{code}")?,
            Cause::Signal(number) => write!(f, "signal:{number}")?,
        }
        match self.at {
            Some(at) => write!(f, "@{}", format_time(at)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_replica_cause_and_time() {
        for text in [
            "api=OomKilled",
            "api/2=OomKilled@30s",
            "db=exit:1@1m30s",
            "db=exit:0",
            "db/0=signal:9",
            "a-b=NodeUnreachable@1h",
        ] {
            let fault: Fault = text.parse().unwrap();
            assert_eq!(fault.to_string(), text);
        }
        let fault: Fault = "db/3=signal:15@2m".parse().unwrap();
        assert_eq!(fault.target, "db/3".parse().unwrap());
        assert_eq!(fault.target.slot, Some(3));
        assert_eq!(fault.at, Some(120));
        assert_eq!(fault.scene(), Scene::exit(143));
    }

    #[test]
    fn what_is_wrong_is_said_with_the_way_out() {
        let table = [
            ("api", "expected CHILD[/SLOT]=FAULT[@TIME]"),
            ("=OomKilled", "expected the name of a child"),
            ("api/x=OomKilled", "'x' is not a slot"),
            ("api/-1=OomKilled", "'-1' is not a slot"),
            ("api/=OomKilled", "'' is not a slot"),
            ("api=", "'' is no fault: expected exit:N"),
            (
                "api=oomkiled",
                "'oomkiled' is no fault; did you mean `OomKilled`?",
            ),
            ("api=xyzzy", "AppExitedNonZero, AppExitedZero, "),
            ("api=CrashLoopBackOff", "'CrashLoopBackOff' is no fault"),
            ("api=exit:256", "exit:256: expected a number from 0 to 255"),
            ("api=exit:+1", "from 0 to 255"),
            ("api=exit:", "from 0 to 255"),
            ("api=signal:0", "from 1 to 64"),
            ("api=signal:KILL", "from 1 to 64"),
            ("api=exit:1@", "is not a time"),
            ("api=exit:1@30", "'30' is not a time"),
            ("api=exit:1@1s@2s", "'1s@2s' is not a time"),
            ("api=NodeLost", "NodeLost cannot be acted out: "),
        ];
        for (text, message) in table {
            let error = text.parse::<Fault>().unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
