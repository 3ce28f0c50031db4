//! The first sentence of a description.
//!
//! Rule: a full stop ends a sentence only before a new one; abbreviations and addresses go on. A list ends
//! it too.

/// Words that end in a full stop without ending a sentence.
const ABBREVIATIONS: [&str; 6] = ["e.g.", "i.e.", "etc.", "vs.", "(e.g.", "(i.e."];

/// The first sentence of `text`, on one line.
pub(super) fn first(text: &str) -> String {
    let paragraph = text.split("\n\n").next().unwrap_or(text);
    let mut words = Vec::new();
    let mut rest = paragraph.split_whitespace().peekable();
    while let Some(word) = rest.next() {
        if word == "*" {
            break;
        }
        words.push(word);
        let next = rest.peek().and_then(|word| word.chars().next());
        if word.ends_with('.') && !ABBREVIATIONS.contains(&word) && next.is_none_or(begins) {
            break;
        }
    }
    words.join(" ")
}

/// Whether a word with this first character can begin a sentence.
fn begins(first: char) -> bool {
    !first.is_lowercase()
}

#[cfg(test)]
mod tests {
    use super::first;

    #[test]
    fn ends_where_the_next_sentence_begins() {
        for (text, expected) in [
            ("One. Two.", "One."),
            ("One", "One"),
            ("Like e.g. this. Not this.", "Like e.g. this."),
            ("Without a stop\n\nSecond paragraph.", "Without a stop"),
            ("Split\nover lines. Next.", "Split over lines."),
            ("Of v1.37 only. Next.", "Of v1.37 only."),
            ("Ends here. \"Quoted\" goes on.", "Ends here."),
            ("One of: * This * That.", "One of:"),
        ] {
            assert_eq!(first(text), expected);
        }
    }
}
