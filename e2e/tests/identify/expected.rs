//! What `coppice identify` must say of an object.
//!
//! Rule: an answer is right when class, verdict, confidence and container are, and a piece of its evidence shows the
//! field that decides.

use std::time::Duration;

use serde_json::Value;

/// How long a fault may take to be provoked and identified, unless a test says more.
const WITHIN: Duration = Duration::from_mins(2);

/// What must be said of an object.
#[derive(Clone, Debug)]
pub struct Expected {
    class: &'static str,
    verdict: &'static str,
    confidence: &'static str,
    container: Option<&'static str>,
    field: &'static str,
    value: String,
    /// How long it may take.
    pub within: Duration,
}

/// That class, with that verdict (`None` for one that has none) and that confidence.
pub fn fault(class: &'static str, verdict: &'static str, confidence: &'static str) -> Expected {
    Expected {
        class,
        verdict,
        confidence,
        container: None,
        field: "",
        value: String::new(),
        within: WITHIN,
    }
}

impl Expected {
    /// It is the fault of that container.
    pub fn of(self, container: &'static str) -> Self {
        let container = Some(container);
        Self { container, ..self }
    }

    /// An entry of the evidence has a field of that name, or one that ends so, whose value contains that text.
    pub fn by(self, field: &'static str, value: &str) -> Self {
        let value = value.to_owned();
        Self {
            field,
            value,
            ..self
        }
    }

    /// It may take longer than most.
    pub fn within(self, within: Duration) -> Self {
        Self { within, ..self }
    }

    /// What of the answer is not as it must be.
    pub fn differs(&self, answer: &Value) -> Option<String> {
        let is = [
            ("class", answer["class"].as_str(), Some(self.class)),
            (
                "verdict",
                Some(answer["verdict"].as_str().unwrap_or("None")),
                Some(self.verdict),
            ),
            (
                "confidence",
                answer["confidence"].as_str(),
                Some(self.confidence),
            ),
            ("container", answer["container"].as_str(), self.container),
        ];
        let wrong = is.iter().find(|(_, is, must)| is != must);
        if let Some((part, is, must)) = wrong {
            return Some(format!("{part} is {is:?} and not {must:?}"));
        }
        let pieces = answer["evidence"].as_array().into_iter().flatten();
        let text = |piece: &Value, key: &str| piece[key].as_str().unwrap_or_default().to_owned();
        let proves = |piece: &Value| {
            text(piece, "field").ends_with(self.field) && text(piece, "value").contains(&self.value)
        };
        let is_proved = !self.field.is_empty() && pieces.into_iter().any(proves);
        (!is_proved).then(|| format!("no evidence {} says {:?}", self.field, self.value))
    }
}
