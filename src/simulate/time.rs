//! Times of the virtual clock: how people write them, and how they read them.
//!
//! Rule: everything is whole seconds since the start of the simulation.

use jiff::Timestamp;

/// Longest time that a simulation knows, in seconds: a week.
pub(super) const LONGEST_SECONDS: i64 = 7 * 24 * 3600;

/// Seconds of each unit, longest first: the order in which they are written.
const UNITS: [(char, i64); 3] = [('h', 3600), ('m', 60), ('s', 1)];

/// Reads a time such as `30s`, `2m`, `1m30s` or `1h`: numbers with units, the longest unit first, each at most once.
/// At most a week. The error says what is expected.
pub fn parse_time(text: &str) -> Result<i64, String> {
    let wrong = || format!("'{text}' is not a time: expected something like 30s, 2m, 1m30s or 1h");
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: i64 = rest[..end].parse().map_err(|_| wrong())?;
        let unit = rest[end..].chars().next().ok_or_else(wrong)?;
        let (_, seconds) = units.find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        total = number
            .checked_mul(*seconds)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(wrong)?;
        rest = &rest[end + 1..];
    }
    match (text.is_empty(), total > LONGEST_SECONDS) {
        (true, _) => Err(wrong()),
        (_, true) => Err(format!("'{text}' is too long: at most 168h, a week")),
        _ => Ok(total),
    }
}

/// The time as people read it, for example `1m30s`.
pub(super) fn format_time(seconds: i64) -> String {
    let mut rest = seconds;
    let mut text = String::new();
    for (unit, length) in UNITS {
        let number = rest / length;
        rest %= length;
        if number > 0 {
            text.push_str(&number.to_string());
            text.push(unit);
        }
    }
    if text.is_empty() {
        "0s".clone_into(&mut text);
    }
    text
}

/// A message with every point in time in it told in seconds since the start of the simulation.
pub(super) fn relative(message: &str, start: Timestamp) -> String {
    let words = message.split(' ').map(|word| {
        let bare = word.trim_end_matches([',', ';', '.', ')', ':']);
        match bare.trim_start_matches('(').parse::<Timestamp>() {
            Ok(time) => {
                let since = time.as_second() - start.as_second();
                let (open, close) = (
                    &word[..word.len() - word.trim_start_matches('(').len()],
                    &word[bare.len()..],
                );
                format!("{open}{}{close}", format_time(since.max(0)))
            }
            Err(_) => word.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_numbers_with_units() {
        let table = [
            ("0s", 0),
            ("30s", 30),
            ("90s", 90),
            ("2m", 120),
            ("1m30s", 90),
            ("1h", 3600),
            ("1h1s", 3601),
            ("168h", LONGEST_SECONDS),
        ];
        for (text, seconds) in table {
            assert_eq!(parse_time(text), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let table = [
            "",
            "s",
            "30",
            "-1s",
            "+1s",
            "1.5s",
            "30s1m",
            "1m1m",
            "1d",
            "1 m",
            "1ms",
            "m30s",
            "９s",
            "99999999999999999999s",
            "9223372036854775807h",
            "169h",
            "ü",
        ];
        for text in table {
            assert!(parse_time(text).is_err(), "{text}");
        }
        assert!(parse_time("5").unwrap_err().contains("30s, 2m, 1m30s"));
    }

    #[test]
    fn what_is_written_is_read_again() {
        for seconds in [0, 1, 59, 60, 61, 3599, 3600, 3661, 86_400] {
            assert_eq!(parse_time(&format_time(seconds)), Ok(seconds));
        }
    }

    #[test]
    fn points_in_time_are_told_from_the_start() {
        let start: Timestamp = "2100-01-01T00:00:00Z".parse().unwrap();
        let told = relative(
            "tried again at 2100-01-01T00:01:30Z, or (2100-01-01T00:00:02Z); v1.2",
            start,
        );
        assert_eq!(told, "tried again at 1m30s, or (2s); v1.2");
    }
}
