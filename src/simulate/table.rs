//! The timeline as a table for people.
//!
//! Rule: what happened to many at once in the same way is one line; no line is wider than a screen.

use super::Row;
use super::time::format_time;

mod again;

/// The widest that each column may be, in characters: time, who, what, why, charged, next.
const WIDEST: [usize; 6] = [9, 18, 20, 40, 14, 30];
const HEADS: [&str; 6] = ["TIME", "WHO", "WHAT", "WHY", "CHARGED", "NEXT"];
/// Between two columns.
const GAP: &str = "  ";
/// Most workers that one line names; more are counted.
const MOST_NAMES: usize = 4;

/// Prints rows as a table, one for each tree.
pub fn print(rows: &[Row]) -> String {
    let trees: Vec<&[Row]> = rows.chunk_by(|a, b| a.tree == b.tree).collect();
    let tables = trees.iter().map(|rows| {
        let head = match trees.len() {
            1 => String::new(),
            _ => format!("Tree {}\n", rows[0].tree),
        };
        head + &of_tree(rows)
    });
    tables.collect::<Vec<_>>().join("\n")
}

/// A line of the table before it is laid out.
#[derive(Clone, Debug)]
struct Line {
    /// From when to when.
    from: i64,
    to: i64,
    /// All columns but the time.
    cells: [String; 5],
    /// What makes it the same as another one; `None` for how the tree stands.
    key: Option<String>,
}

/// The columns of [`Line::cells`] that are looked at by name.
const WHAT: usize = 1;
const CHARGED: usize = 3;
const NEXT: usize = 4;

fn of_tree(rows: &[Row]) -> String {
    let groups = rows.chunk_by(|a, b| {
        (a.at, &a.event, &a.why, &a.charges, &a.next)
            == (b.at, &b.event, &b.why, &b.charges, &b.next)
    });
    let lines = again::fold(&groups.map(line).collect::<Vec<_>>());
    let mut last = None;
    let cells = lines.into_iter().map(|line| {
        let time = match (line.from, line.to) {
            (from, to) if from != to => format!("{} to {}", format_time(from), format_time(to)),
            (from, _) if last == Some(from) => String::new(),
            (from, _) => format_time(from),
        };
        last = Some(line.to);
        let [who, what, why, charged, next] = line.cells;
        [time, who, what, why, charged, next]
    });
    let all = std::iter::once(HEADS.map(str::to_owned)).chain(cells);
    let wrapped: Vec<[Vec<String>; 6]> = all.map(|line| wrap(&line)).collect();
    let widths = widths(&wrapped);
    let lines = wrapped.iter().map(|line| print_line(line, &widths));
    lines.collect()
}

fn line(group: &[Row]) -> Line {
    let Row {
        at,
        event,
        why,
        charges,
        next,
        ..
    } = &group[0];
    let who = who(group);
    let is_state = event.ends_with(')');
    let class = why.split(' ').next().unwrap_or_default();
    let key = (!is_state).then(|| format!("{who} {event} {class}"));
    let cells = [&who, event, why, charges, next].map(String::clone);
    Line {
        from: *at,
        to: *at,
        cells,
        key,
    }
}

/// The subjects of a group: replicas of a worker as a range, workers by name as long as they are few.
fn who(group: &[Row]) -> String {
    let mut workers: Vec<(&str, Vec<i32>)> = Vec::new();
    for row in group {
        let (name, slot) = match row.subject.rsplit_once('/') {
            Some((name, slot)) => (name, slot.parse().ok()),
            None => (row.subject.as_str(), None),
        };
        match workers.last_mut() {
            Some((last, slots)) if *last == name => slots.extend(slot),
            _ => workers.push((name, slot.into_iter().collect())),
        }
    }
    let names = workers.iter().take(MOST_NAMES);
    let mut names: Vec<String> = names
        .map(|(name, slots)| match ranges(slots).as_str() {
            "" => (*name).to_owned(),
            ranges => format!("{name}/{ranges}"),
        })
        .collect();
    if workers.len() > MOST_NAMES {
        names.push(format!("and {} more", workers.len() - MOST_NAMES));
    }
    names.join(", ")
}

/// Numbers as `0-3,5`.
fn ranges(slots: &[i32]) -> String {
    let runs = slots.chunk_by(|a, b| a + 1 == *b);
    let runs = runs.map(|run| match run {
        [first, .., last] => format!("{first}-{last}"),
        [one] => one.to_string(),
        [] => String::new(),
    });
    runs.collect::<Vec<_>>().join(",")
}

fn wrap(line: &[String; 6]) -> [Vec<String>; 6] {
    std::array::from_fn(|column| wrap_cell(&line[column], WIDEST[column]))
}

/// The text in lines of at most that many characters, broken between words where it can be.
fn wrap_cell(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    let mut length = 0;
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        if length > 0 && length + 1 + word.len() > width {
            lines.push(String::new());
            length = 0;
        }
        while word.len() > width {
            let rest = word.split_off(width);
            push(&mut lines, &word, &mut length);
            lines.push(String::new());
            length = 0;
            word = rest;
        }
        push(&mut lines, &word, &mut length);
    }
    lines
}

fn push(lines: &mut [String], word: &[char], length: &mut usize) {
    if let Some(line) = lines.last_mut() {
        if *length > 0 {
            line.push(' ');
            *length += 1;
        }
        line.extend(word);
        *length += word.len();
    }
}

fn widths(lines: &[[Vec<String>; 6]]) -> [usize; 6] {
    std::array::from_fn(|column| {
        let cells = lines.iter().flat_map(|line| &line[column]);
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    })
}

fn print_line(line: &[Vec<String>; 6], widths: &[usize; 6]) -> String {
    let height = line.iter().map(Vec::len).max().unwrap_or(0);
    let printed = (0..height).map(|at| {
        let cells = line.iter().zip(widths).map(|(cell, width)| {
            let text = cell.get(at).map_or("", String::as_str);
            format!("{text:<width$}")
        });
        let cells: Vec<String> = cells.collect();
        format!("{}\n", cells.join(GAP).trim_end())
    });
    printed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(at: i64, subject: &str, event: &str, why: &str) -> Row {
        Row {
            tree: "t".to_owned(),
            at,
            subject: subject.to_owned(),
            event: event.to_owned(),
            why: why.to_owned(),
            charges: String::new(),
            next: String::new(),
        }
    }

    #[test]
    fn what_happens_alike_is_one_line() {
        let mut rows: Vec<Row> = (0..20)
            .map(|slot| row(0, &format!("a/{slot}"), "starting", ""))
            .collect();
        rows.extend((0..6).map(|child| row(0, &format!("b{child}/0"), "starting", "")));
        rows.push(row(1, "a/3", "started", ""));
        rows.push(row(1, "a/5", "started", ""));
        rows.push(row(61, "t", "Ready", ""));
        assert_eq!(
            print(&rows),
            "TIME  WHO                WHAT      WHY  CHARGED  NEXT\n\
             0s    a/0-19, b0/0,      starting\n      b1/0, b2/0, and 3\n      more\n\
             1s    a/3,5              started\n\
             1m1s  t                  Ready\n"
        );
    }

    #[test]
    fn what_happens_again_is_told_once_and_only_what_is_new_is_left() {
        let round = |at: i64, charges: &str| {
            let steps =
                ["died", "stopping", "starting", "started"].map(|event| row(at, "a/0", event, ""));
            let charged = Row {
                charges: charges.to_owned(),
                ..row(at, "b", "exited", "")
            };
            steps.into_iter().chain([charged]).collect::<Vec<_>>()
        };
        let rows = [round(1, "1/3"), round(2, "2/3"), round(4, "2/3")].concat();
        let printed = print(&rows);
        let lines: Vec<String> = printed
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        let expected = [
            "2s … as before the same steps as from 1s to 1s 2/3",
            "4s … as before the same steps as from 1s to 1s",
        ];
        assert_eq!(lines[6..], expected, "{printed}");
    }

    #[test]
    fn a_round_that_takes_longer_says_so_with_what_comes_of_it() {
        let round = |at: i64, took: i64, next: &str| {
            let died = Row {
                next: next.to_owned(),
                ..row(at, "a/0", "died", "")
            };
            let steps = ["stopping", "starting"].map(|event| row(at, "a/0", event, ""));
            let started = row(at + took, "a/0", "started", "");
            let first = std::iter::once(died).chain(steps);
            first.chain([started]).collect::<Vec<_>>()
        };
        let rows = [
            round(6, 6, "restarted at 10s"),
            round(13, 8, "restarted at 18s"),
        ]
        .concat();
        let printed = print(&rows);
        let last: Vec<&str> = printed
            .lines()
            .skip_while(|line| !line.starts_with("13s to"))
            .collect();
        // The words of a cell stand below each other, and so do those of the next.
        for word in ["13s to", "in 8s", "instead of 6s", "restarted at 18s"] {
            assert!(last.join("\n").contains(word), "{word}: {printed}");
        }
    }

    #[test]
    fn how_the_tree_stands_is_told_the_first_time_even_in_a_repetition() {
        let round = |at: i64, state: &str| {
            let steps =
                ["died", "stopping", "starting", "started"].map(|event| row(at, "a/0", event, ""));
            let state = row(at, "t", state, "");
            steps.into_iter().chain([state]).collect::<Vec<_>>()
        };
        let known = [round(1, "Ready (AllUp)"), round(2, "Ready (AllUp)")].concat();
        let printed = print(&[known, round(3, "Stalled (SlotParked)")].concat());
        assert_eq!(printed.matches("as before").count(), 1, "{printed}");
        assert!(printed.contains("Stalled (SlotParked)"), "{printed}");
    }

    #[test]
    fn long_texts_are_wrapped_between_words_and_long_words_cut() {
        assert_eq!(wrap_cell("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap_cell("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrap_cell("", 3), [""]);
        assert_eq!(wrap_cell("äöü äöü", 3), ["äöü", "äöü"]);
    }
}
