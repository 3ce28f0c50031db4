//! Turns the output of `kubectl describe pod` into a manifest.
//!
//! Rule: only what identification looks at is read: states of containers, the phase, the node, Events.

use serde_json::{Map, Value, json};

/// The Pod as `{"pod": manifest, "events": [...]}`.
pub(crate) fn manifest(text: &str) -> Value {
    let top = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key))
            .map(str::trim)
    };
    json!({
        "pod": {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": top("Name:")},
            "spec": {
                "nodeName": top("Node:").filter(|node| *node != "<none>"),
                "containers": [],
            },
            "status": {
                "phase": top("Status:"),
                "containerStatuses": containers(text, "Containers:"),
                "initContainerStatuses": containers(text, "Init Containers:"),
            },
        },
        "events": events(text),
    })
}

/// The lines beneath a heading that stands at the left edge.
fn section<'a>(text: &'a str, heading: &str) -> Vec<&'a str> {
    text.lines()
        .skip_while(|line| line.trim_end() != heading)
        .skip(1)
        .take_while(|line| line.is_empty() || line.starts_with(' '))
        .collect()
}

/// The containers: names are indented by two, their fields by four, those of a state by six.
fn containers(text: &str, heading: &str) -> Vec<Value> {
    let mut found: Vec<Map<String, Value>> = Vec::new();
    let mut state = String::new();
    for line in section(text, heading) {
        let indent = line.len() - line.trim_start().len();
        let (key, value) = line
            .trim()
            .split_once(':')
            .unwrap_or_else(|| (line.trim(), ""));
        let value = value.trim();
        if indent == 2 {
            found.push(Map::from_iter([
                ("name".to_owned(), json!(key)),
                ("image".to_owned(), json!("")),
                ("imageID".to_owned(), json!("")),
            ]));
        }
        let Some(container) = found.last_mut() else {
            continue;
        };
        match (indent, key) {
            (4, "State" | "Last State") => {
                (if key == "State" { "state" } else { "lastState" }).clone_into(&mut state);
                container.insert(state.clone(), json!({value.to_lowercase(): {}}));
            }
            (4, "Ready") => {
                state.clear();
                container.insert("ready".to_owned(), json!(value == "True"));
            }
            (4, "Restart Count") => {
                container.insert(
                    "restartCount".to_owned(),
                    json!(
                        value
                            .parse::<i32>()
                            .expect("a number, as kubectl writes it")
                    ),
                );
            }
            (6, _) if !state.is_empty() => add_field(container, &state, key, value),
            _ => {}
        }
    }
    found.into_iter().map(Value::Object).collect()
}

fn add_field(container: &mut Map<String, Value>, state: &str, key: &str, value: &str) {
    let (name, value) = match key {
        "Reason" => ("reason", json!(value)),
        "Message" => ("message", json!(value)),
        "Exit Code" => (
            "exitCode",
            json!(
                value
                    .parse::<i32>()
                    .expect("a number, as kubectl writes it")
            ),
        ),
        "Finished" => ("finishedAt", json!(time(value))),
        "Started" => ("startedAt", json!(time(value))),
        _ => return,
    };
    let Some(states) = container.get_mut(state).and_then(Value::as_object_mut) else {
        return;
    };
    for fields in states.values_mut() {
        fields[name] = value.clone();
    }
}

/// `Tue, 12 Aug 2025 06:42:07 +0200` as the API writes it.
fn time(text: &str) -> String {
    jiff::fmt::rfc2822::parse(text)
        .expect("a time, as kubectl writes it")
        .timestamp()
        .to_string()
}

/// The Events: type, reason, age, sender and message, in columns two or more spaces apart.
fn events(text: &str) -> Vec<Value> {
    section(text, "Events:")
        .into_iter()
        .filter_map(|line| {
            let columns: Vec<&str> = line
                .split("  ")
                .map(str::trim)
                .filter(|c| !c.is_empty())
                .collect();
            let reason = columns.get(1)?;
            Some(json!({"reason": reason, "message": columns.last()?}))
        })
        .collect()
}
