//! Text of components: matching what they say, and passing it on to people.
//!
//! Rule: a message that leaves here is one line of at most [`LONGEST_MESSAGE`] bytes.

use super::Class;
use super::evidence::EventView;

/// Most bytes of a message.
pub(super) const LONGEST_MESSAGE: usize = 512;

/// A class and the phrases that prove it: one of them is enough. Phrases are written in lower case,
/// because components change the case of what they say; `…` in one stands for anything.
pub(super) struct Rule(pub(super) Class, pub(super) &'static [&'static str]);

impl Rule {
    /// Whether the text, in lower case, contains one of the phrases.
    fn fits(&self, lower: &str) -> bool {
        self.1.iter().any(|phrase| says(lower, phrase))
    }
}

/// Whether a text contains a phrase; see [`Rule`].
fn says(lower: &str, phrase: &str) -> bool {
    let mut rest = Some(lower);
    for part in phrase.split('…') {
        rest = rest.and_then(|rest| Some(rest.split_once(part)?.1));
    }
    rest.is_some()
}

/// The class of the first rule that fits.
pub(super) fn first_match(rules: &[Rule], text: &str) -> Option<Class> {
    let lower = text.to_lowercase();
    rules
        .iter()
        .find(|rule| rule.fits(&lower))
        .map(|rule| rule.0)
}

/// Whether the text contains one of the phrases, which are in lower case.
pub(super) fn contains(text: &str, phrases: &[&str]) -> bool {
    let lower = text.to_lowercase();
    phrases.iter().any(|phrase| says(&lower, phrase))
}

/// Reasons of Events, phrases of which the message contains one, in lower case, and what that proves. The empty phrase is
/// in every message.
pub(super) struct EventRule(
    pub(super) &'static [&'static str],
    pub(super) &'static [&'static str],
    pub(super) Class,
);

/// The class of the first rule that fits one of the Events, and the newest Event that it fits. Events are given oldest
/// first.
pub(super) fn first_event<'a>(
    rules: &[EventRule],
    events: &[&'a EventView],
) -> Option<(Class, &'a EventView)> {
    let texts = lower(events);
    rules.iter().find_map(|rule| {
        let mut newest_first = texts.iter().rev();
        let (event, _) = newest_first.find(|(event, text)| rule.fits(event, text))?;
        Some((rule.2, *event))
    })
}

/// The classes of all rules that fit one of the Events.
pub(super) fn all_events<'r>(
    rules: impl Iterator<Item = &'r EventRule>,
    events: &[&EventView],
) -> Vec<Class> {
    let texts = lower(events);
    let fits = |rule: &&EventRule| texts.iter().any(|(event, text)| rule.fits(event, text));
    rules.filter(fits).map(|rule| rule.2).collect()
}

/// The Events with their texts in lower case: each is looked at by many rules.
fn lower<'a>(events: &[&'a EventView]) -> Vec<(&'a EventView, String)> {
    let texts = events
        .iter()
        .map(|event| (*event, event.text().to_lowercase()));
    texts.collect()
}

impl EventRule {
    fn fits(&self, event: &EventView, lower: &str) -> bool {
        self.0.contains(&event.reason.as_str()) && self.1.iter().any(|phrase| says(lower, phrase))
    }
}

/// The text on one line, without control characters, cut to [`LONGEST_MESSAGE`] bytes on a character
/// boundary. A cut is marked by an ellipsis.
pub(crate) fn bounded(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(LONGEST_MESSAGE));
    for word in text.split(|c: char| c.is_whitespace() || c.is_control() || is_invisible(c)) {
        if word.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if line.len() > LONGEST_MESSAGE {
        line.truncate(line.floor_char_boundary(LONGEST_MESSAGE - '…'.len_utf8()));
        line.push('…');
    }
    line
}

/// Whether a character has no looks of its own and changes those of others, for example the direction of writing.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// `head: tail`, or `head` alone when there is no tail.
pub(super) fn join(head: &str, tail: &str) -> String {
    match tail.trim() {
        "" => head.to_owned(),
        tail => format!("{head}: {tail}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_match_whatever_the_case() {
        let rules = [
            Rule(Class::TooManyPods, &["too many pods"]),
            Rule(Class::Unknown, &[""]),
        ];
        assert_eq!(
            first_match(&rules, "1 Too many Pods."),
            Some(Class::TooManyPods)
        );
        assert_eq!(first_match(&rules, "something else"), Some(Class::Unknown));
        assert_eq!(first_match(&rules[..1], "something else"), None);
    }

    #[test]
    fn the_parts_of_a_phrase_follow_each_other() {
        let rules = [Rule(Class::SecretMissing, &["secret \"…not found"])];
        let class = |text| first_match(&rules, text);
        assert_eq!(class("Secret \"s\" not found"), Some(Class::SecretMissing));
        assert_eq!(class("not found: secret \"s\""), None);
        assert_eq!(class("secret \"s\" is forbidden"), None);
        assert_eq!(
            first_match(&[Rule(Class::Unknown, &[""])], ""),
            Some(Class::Unknown)
        );
    }

    #[test]
    fn control_characters_become_spaces() {
        assert_eq!(bounded(" a\n\tb\u{1b}[31mc\u{0}\u{85}d "), "a b [31mc d");
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        for shift in 0..4 {
            let text = format!("{}{}", "x".repeat(shift), "🌳".repeat(300));
            let cut = bounded(&text);
            assert!(cut.len() <= LONGEST_MESSAGE && cut.len() > LONGEST_MESSAGE - 8);
            assert!(cut.ends_with("🌳…"));
        }
        assert_eq!(bounded(&"x".repeat(LONGEST_MESSAGE)).len(), LONGEST_MESSAGE);
    }

    #[test]
    fn a_missing_tail_leaves_no_colon() {
        assert_eq!(join("evicted", " "), "evicted");
        assert_eq!(join("evicted", "disk"), "evicted: disk");
    }
}
