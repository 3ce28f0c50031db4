//! The classes of faults, family by family: their names, what they mean for the tree, and what people should know of them.
//!
//! Rule: a name says the cause; a state such as `CrashLoopBackOff`, `ImagePullBackOff`, Error or Pending is
//! never a class. A class is declared once, in the file of its family, beside the rules that find it.

use std::fmt;

use super::Verdict;
use super::admission::Admission;
use super::application::Application;
use super::configuration::Configuration;
use super::disruption::Disruption;
use super::image::Image;
use super::network::Network;
use super::node::Node;
use super::probe::Probe;
use super::resources::Resources;
use super::rest::Rest;
use super::rollout::Rollout;
use super::runtime::Runtime;
use super::scheduling::Scheduling;
use super::volume::Volume;

/// What there is to know of a class.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) event_reason: &'static str,
    pub(super) meaning: &'static str,
    pub(super) verdict: Option<Verdict>,
    pub(super) shown: Shown,
    pub(super) advice: &'static str,
}

/// What shows that a class is identified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shown {
    /// It was provoked on a real cluster.
    Cluster,
    /// A sample that somebody else has seen.
    Sample,
    /// Only texts written after the source of the component that says it.
    Source,
}

/// Declares the classes of a family: what each means, its verdict (`None` for what only explains, sums up, or is no
/// fault), what shows it, and what a person should do.
macro_rules! family {
    ($(#[doc = $about:literal])+ $family:ident {
        $($(#[doc = $doc:literal])+ $name:ident: $verdict:ident, $shown:ident, $advice:literal;)+
    }) => {
        $(#[doc = $about])+
        #[allow(clippy::enum_variant_names, reason = "the names are those of the taxonomy")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $family {
            $($(#[doc = $doc])+ $name,)+
        }

        impl $family {
            /// The classes, in the order of the taxonomy.
            pub(super) const ALL: &'static [Self] = &[$(Self::$name,)+];
            /// What they have in common.
            pub(super) const ABOUT: &'static str = concat!($($about),+);

            /// What there is to know of a class.
            pub(super) const fn entry(self) -> $crate::model::fault::class::Entry {
                match self {
                    $(Self::$name => $crate::model::fault::class::Entry {
                        name: stringify!($name),
                        event_reason: concat!("Child", stringify!($name)),
                        meaning: concat!($($doc),+),
                        verdict: $crate::model::fault::class::verdict!($verdict),
                        shown: $crate::model::fault::class::Shown::$shown,
                        advice: $advice,
                    },)+
                }
            }
        }

        #[allow(non_upper_case_globals, reason = "each stands for the variant of that name")]
        impl $crate::model::fault::class::Class {
            $($(#[doc = $doc])+ pub const $name: Self = Self::$family($family::$name);)+
        }
    };
}
pub(super) use family;

macro_rules! verdict {
    (None) => {
        None
    };
    ($verdict:ident) => {
        Some($crate::model::fault::Verdict::$verdict)
    };
}
pub(super) use verdict;

/// Puts the families together.
macro_rules! families {
    ($($family:ident,)+) => {
        /// A family of classes: where in the life of a Pod things went wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Family {
            $(#[doc = concat!("Its classes are declared as those of `", stringify!($family), "`.")] $family,)+
        }

        impl Family {
            /// Every family, in the order of the taxonomy.
            pub const ALL: &'static [Self] = &[$(Self::$family,)+];

            /// The name, as it stands in policies and on pages.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$family => stringify!($family),)+
                }
            }

            /// What its classes have in common, in whole sentences.
            pub fn about(self) -> &'static str {
                match self {
                    $(Self::$family => $family::ABOUT.trim_ascii(),)+
                }
            }
        }

        /// What a fault is. The names are those of the fault taxonomy in the documentation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Class {
            $(#[doc = concat!("A class of the family `", stringify!($family), "`.")] $family($family),)+
        }

        impl Class {
            const COUNT: usize = 0 $(+ $family::ALL.len())+;

            /// Every class, in the order of the taxonomy.
            pub const ALL: &'static [Self] = &{
                let mut all = [Self::Unknown; Self::COUNT];
                let mut place = 0;
                $(
                    let mut index = 0;
                    while index < $family::ALL.len() {
                        all[place] = Self::$family($family::ALL[index]);
                        index += 1;
                        place += 1;
                    }
                )+
                all
            };

            /// The family.
            pub const fn family(self) -> Family {
                match self {
                    $(Self::$family(_) => Family::$family,)+
                }
            }

            const fn entry(self) -> Entry {
                match self {
                    $(Self::$family(class) => class.entry(),)+
                }
            }
        }
    };
}

families! {
    Application,
    Resources,
    Image,
    Configuration,
    Probe,
    Scheduling,
    Volume,
    Network,
    Node,
    Disruption,
    Admission,
    Runtime,
    Rollout,
    Rest,
}

impl Class {
    /// The class of that name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|class| class.as_str() == name)
    }

    /// The name, as it stands in statuses, metrics and logs.
    pub const fn as_str(self) -> &'static str {
        self.entry().name
    }

    /// The reason of the Event on the tree: `Child` and the name.
    pub const fn event_reason(self) -> &'static str {
        self.entry().event_reason
    }

    /// What it stands for, in whole sentences, for people.
    pub fn meaning(self) -> &'static str {
        self.entry().meaning.trim_ascii()
    }

    /// What the class means for the tree unless the evidence says more, see [`super::Fault::verdict`]. `None` for what
    /// only explains another fault, sums up the faults of several Pods, or is no fault.
    pub const fn verdict(self) -> Option<Verdict> {
        self.entry().verdict
    }

    /// What shows that it is identified.
    pub const fn shown(self) -> Shown {
        self.entry().shown
    }

    /// What a person should do.
    pub const fn advice(self) -> &'static str {
        self.entry().advice
    }

    /// Where the documentation tells more, from the folder `docs` on.
    pub fn page(self) -> String {
        let family = self.family().as_str().to_ascii_lowercase();
        format!("faults/{family}.md#{}", self.as_str().to_ascii_lowercase())
    }

    /// Whether it says how the program ended, and nothing of anybody who made it end.
    pub fn is_own_end(self) -> bool {
        matches!(
            self,
            Self::AppExitedZero
                | Self::AppExitedNonZero
                | Self::AppSegfault
                | Self::AppAbort
                | Self::AppFatalSignal
                | Self::CommandExit126
                | Self::CommandExit127
                | Self::SigkillUnattributed
                | Self::SigtermUnattributed
        )
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_class_has_its_own_name() {
        let names: BTreeSet<&str> = Class::ALL.iter().map(|class| class.as_str()).collect();
        assert_eq!(names.len(), Class::ALL.len());
    }

    #[test]
    fn event_reasons_are_legal_and_specific() {
        for class in Class::ALL {
            let reason = class.event_reason();
            assert_eq!(reason, format!("Child{class}"));
            assert!(
                reason.len() <= 128,
                "{reason} is longer than an Event's reason may be"
            );
        }
    }

    #[test]
    fn a_state_is_never_a_class() {
        let overlays = [
            "CrashLoopBackOff",
            "ImagePullBackOff",
            "ErrImagePull",
            "Error",
            "Pending",
            "Failed",
        ];
        assert!(
            Class::ALL
                .iter()
                .all(|class| !overlays.contains(&class.as_str()))
        );
    }

    #[test]
    fn verdicts_that_decide_about_charges() {
        let table = [
            (Class::AppExitedNonZero, Verdict::Application),
            (Class::AppExitedZero, Verdict::Application),
            (Class::SigkillUnattributed, Verdict::Unknown),
            (Class::OomKilled, Verdict::Application),
            (Class::ImageNotFound, Verdict::Hold),
            (Class::ConfigMapMissing, Verdict::Hold),
            (Class::InsufficientCpu, Verdict::Wait),
            (Class::QuotaExceeded, Verdict::Wait),
            (Class::PodSecurityViolation, Verdict::Hold),
            (Class::NodePressureEviction, Verdict::Infrastructure),
            (Class::PodDeleted, Verdict::Infrastructure),
            (Class::StartDeadlineExceeded, Verdict::Application),
            (Class::Unknown, Verdict::Unknown),
        ];
        for (class, verdict) in table {
            assert_eq!(class.verdict(), Some(verdict), "{class}");
        }
    }
}
