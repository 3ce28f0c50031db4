//! Text of components: matching what they say, and passing it on to people.
//!
//! Rule: a message that leaves here is one line of at most [`LONGEST_MESSAGE`] bytes.

use super::Class;

/// Most bytes of a message.
pub(super) const LONGEST_MESSAGE: usize = 512;

/// A class and the phrases that prove it: one of them is enough. Phrases are written in lower case,
/// because components change the case of what they say.
pub(super) struct Rule(pub(super) Class, pub(super) &'static [&'static str]);

impl Rule {
    /// Whether the text, in lower case, contains one of the phrases.
    fn fits(&self, lower: &str) -> bool {
        self.1.iter().any(|phrase| lower.contains(phrase))
    }
}

/// The class of the first rule that fits.
pub(super) fn first_match(rules: &[Rule], text: &str) -> Option<Class> {
    let lower = text.to_lowercase();
    rules
        .iter()
        .find(|rule| rule.fits(&lower))
        .map(|rule| rule.0)
}

/// The text on one line, without control characters, cut to [`LONGEST_MESSAGE`] bytes on a character
/// boundary. A cut is marked by an ellipsis.
pub(super) fn bounded(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(LONGEST_MESSAGE));
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
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
