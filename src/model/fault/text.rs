//! Text of components: matching what they say, and passing it on to people.
//!
//! Rule: a message that leaves here is one line of at most [`LONGEST_MESSAGE`] bytes.

use std::path::Path;

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
        rest = rest.and_then(|rest| after(rest, part));
    }
    rest.is_some()
}

/// What follows the first place that has those words, and not as a piece of a longer name.
fn after<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric();
    let mut places = text.match_indices(words);
    let (place, _) = places.find(|(place, _)| {
        let before = &text[..*place];
        let behind = &text[place + words.len()..];
        let joined_before = words.starts_with(is_of_name)
            && before
                .strip_suffix(['-', '_'])
                .is_some_and(|name| name.ends_with(is_of_name));
        let joined_behind = words.ends_with(is_of_name)
            && behind
                .strip_prefix(['-', '_'])
                .is_some_and(|name| name.starts_with(is_of_name));
        !joined_before && !joined_behind
    })?;
    Some(&text[place + words.len()..])
}

/// The text in lower case without the names in it: a name may be made of the words of a rule. A name stands in quotes and
/// has no blanks, and often stands without quotes in the same text, too; the quotes stay.
fn nameless(text: &str) -> String {
    let lower = text.to_lowercase();
    let pieces: Vec<&str> = lower.split('"').collect();
    let last = pieces.len() - 1;
    let is_name = |index: usize, piece: &str| {
        let is_quoted = index > 0 && index < last;
        // The address of a runtime says who does not answer.
        is_quoted && !piece.contains(char::is_whitespace) && !is_socket(piece)
    };
    let mut names: Vec<&str> = Vec::new();
    let mut rest: Vec<&str> = Vec::with_capacity(pieces.len());
    for (index, piece) in pieces.into_iter().enumerate() {
        if is_name(index, piece) {
            // A plain word may be one of the language.
            names.extend(Some(piece).filter(|name| name.contains(['-', '/', ':'])));
            rest.push("");
        } else {
            rest.push(piece);
        }
    }
    // A name may begin with another one.
    names.sort_unstable_by_key(|name| std::cmp::Reverse(name.len()));
    names.dedup();
    let mut text = rest.join("\"");
    for name in names.into_iter().take(MOST_NAMES) {
        if name.contains(char::is_alphanumeric) {
            text = text.replace(name, "");
        }
    }
    text
}

/// Most names that are looked for in one text.
const MOST_NAMES: usize = 8;

/// The class of the first rule that fits.
pub(super) fn first_match(rules: &[Rule], text: &str) -> Option<Class> {
    let lower = nameless(text);
    rules
        .iter()
        .find(|rule| rule.fits(&lower))
        .map(|rule| rule.0)
}

/// The class of the rule that fits earliest in the text.
pub(super) fn first_named(rules: &[Rule], text: &str) -> Option<Class> {
    let lower = nameless(text);
    let fitting = rules.iter().filter(|rule| rule.fits(&lower));
    let place = |rule: &&Rule| {
        let heads = rule.1.iter().filter_map(|phrase| phrase.split('…').next());
        heads.filter_map(|head| lower.find(head)).min()
    };
    fitting.min_by_key(place).map(|rule| rule.0)
}

/// Whether the text contains one of the phrases, which are in lower case.
pub(super) fn contains(text: &str, phrases: &[&str]) -> bool {
    let lower = nameless(text);
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

/// The Events with their texts in lower case and without names: each is looked at by many rules.
fn lower<'a>(events: &[&'a EventView]) -> Vec<(&'a EventView, String)> {
    let texts = events.iter().map(|event| (*event, nameless(event.text())));
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

/// Whether it is the path of a socket, which is the same on every node.
fn is_socket(text: &str) -> bool {
    Path::new(text)
        .extension()
        .is_some_and(|extension| extension == "sock")
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
