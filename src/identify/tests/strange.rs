//! Files that are not as they should be.
//!
//! Rule: what is strange inside an object only makes the answer know less; what is no Kubernetes is refused.

use super::*;

/// What a field may be that should be something else.
fn wrong() -> [Value; 7] {
    [
        Value::Null,
        json!(-7),
        json!(true),
        json!("x"),
        json!(""),
        json!([null, 7, "x", {}]),
        json!({"a": [null]}),
    ]
}

/// Every way to make one part of a value wrong, at any depth.
fn spoilt(value: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    let keys: Vec<String> = match value {
        Value::Object(fields) => fields.keys().cloned().collect(),
        _ => Vec::new(),
    };
    for key in keys {
        let with = |part: Value| {
            let mut copy = value.clone();
            copy[&key] = part;
            copy
        };
        all.extend(wrong().map(with));
        all.extend(spoilt(&value[&key]).into_iter().map(with));
        let mut without = value.clone();
        without.as_object_mut().unwrap().remove(&key);
        all.push(without);
    }
    for index in 0..value.as_array().map_or(0, Vec::len) {
        let with = |part: Value| {
            let mut copy = value.clone();
            copy[index] = part;
            copy
        };
        all.extend(wrong().map(with));
        all.extend(spoilt(&value[index]).into_iter().map(with));
    }
    all
}

/// An object with all that is read of a Pod.
fn full_pod() -> Value {
    let mut pod = crashing("a", 137);
    pod["metadata"]["deletionGracePeriodSeconds"] = json!(30);
    pod["metadata"]["deletionTimestamp"] = json!(second(50));
    pod["metadata"]["ownerReferences"] = json!([{"kind": "Job", "name": "work"}]);
    pod["spec"] = json!({
        "nodeName": "node-a",
        "restartPolicy": "Never",
        "schedulerName": "s",
        "terminationGracePeriodSeconds": 30,
        "resourceClaims": [{"name": "gpu"}],
        "volumes": [
            {"name": "v", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "i", "image": {"reference": "x"}},
        ],
        "initContainers": [{"name": "setup", "restartPolicy": "Always"}],
        "containers": [{
            "name": "main",
            "resources": {"limits": {"memory": "1Gi"}},
            "livenessProbe": {"periodSeconds": 10, "failureThreshold": 3, "timeoutSeconds": 1},
            "startupProbe": {"initialDelaySeconds": 5},
        }],
    });
    pod["status"]["reason"] = json!("Evicted");
    pod["status"]["message"] = json!("text");
    pod["status"]["conditions"] = json!([
        {"type": "DisruptionTarget", "status": "True", "reason": "r", "message": "m",
         "lastTransitionTime": second(20)},
    ]);
    pod["status"]["initContainerStatuses"] = json!([
        {"name": "setup", "state": {"terminated": {"exitCode": 1, "signal": 9}}},
    ]);
    pod
}

#[test]
fn a_field_may_be_missing_or_null_or_of_another_type_wherever_it_stands() {
    let mut node = object("Node", "node-a");
    node["spec"] = json!({"taints": [{"key": "k", "effect": "NoExecute"}]});
    node["status"] = json!({"conditions": [
        {"type": "Ready", "status": "Unknown", "lastTransitionTime": second(10)},
    ]});
    let document = json!({
        "pod": full_pod(),
        "events": [killing("a")],
        "node": node,
        "pvc": {"metadata": {"name": "data"}, "status": {"phase": "Lost"}},
        "related": [failed_job()],
    });
    for strange in spoilt(&document) {
        let text = strange.to_string();
        let found = identify("file", &text, clock());
        assert_eq!(found.unwrap().answers.len(), 1, "{text}");
    }
}

#[test]
fn an_item_of_a_list_may_be_strange_and_the_others_are_answered_for() {
    let items = [full_pod(), killing("a"), failed_job(), well("b")];
    for strange in spoilt(&Value::from(items.to_vec())) {
        let text = json!({"kind": "List", "items": strange}).to_string();
        let answers = identify("file", &text, clock()).unwrap().answers;
        assert!((1..=4).contains(&answers.len()), "{text}");
    }
    let nulls = list(&[Value::Null, crashing("a", 1), json!(7), json!([])]);
    assert_eq!(told(&of(&nulls)), [("Pod n/a", "AppExitedNonZero")]);
}

#[test]
fn an_answer_to_a_create_may_be_strange() {
    for error in wrong().into_iter().skip(1) {
        let answer = one(&json!({"createError": error}));
        assert_ne!(answer.class, "NoFault");
    }
}

#[test]
fn numbers_may_be_hostile() {
    let mut hostile = crashing("a", 137);
    for number in [i64::MAX, i64::MIN, -1] {
        let probe = json!({
            "initialDelaySeconds": number,
            "periodSeconds": number,
            "failureThreshold": number,
            "timeoutSeconds": number,
        });
        hostile["spec"]["containers"][0]["livenessProbe"] = probe;
        hostile["spec"]["terminationGracePeriodSeconds"] = json!(number);
        hostile["metadata"]["deletionGracePeriodSeconds"] = json!(number);
        hostile["status"]["containerStatuses"][0]["restartCount"] = json!(number);
        let end = &mut hostile["status"]["containerStatuses"][0]["lastState"]["terminated"];
        end["exitCode"] = json!(number.clamp(i32::MIN.into(), i32::MAX.into()));
        one(&hostile);
        hostile["metadata"]["deletionTimestamp"] = json!(second(50));
        one(&hostile);
        hostile["metadata"]
            .as_object_mut()
            .unwrap()
            .remove("deletionTimestamp");
    }
}

#[test]
fn all_times_may_be_missing() {
    fn untimed(value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                let kept = fields.iter().filter(|(name, _)| {
                    !["Time", "Timestamp", "At"]
                        .iter()
                        .any(|end| name.ends_with(end))
                });
                kept.map(|(name, value)| (name.clone(), untimed(value)))
                    .collect::<serde_json::Map<_, _>>()
                    .into()
            }
            Value::Array(values) => values.iter().map(untimed).collect(),
            value => value.clone(),
        }
    }
    for (value, class) in [
        (
            list(&[crashing("a", 137), killing("a")]),
            "LivenessProbeKilled",
        ),
        (crashing("a", 1), "AppExitedNonZero"),
        (well("a"), "NoFault"),
        (creating("a"), "StartStuck"),
        (failed_job(), "JobBackoffLimitExceeded"),
    ] {
        let answer = one(&untimed(&value));
        assert_eq!((answer.class, answer.since), (class, None));
    }
}

#[test]
fn keys_that_are_not_understood_are_warned_about() {
    let document = json!({"pod": crashing("a", 1), "logs": "text", "Node": {}});
    let found = identify("file", &document.to_string(), clock()).unwrap();
    assert_eq!(found.answers.len(), 1);
    assert_eq!(
        found.warnings,
        [
            "file: `Node` is no part of an evidence document and is ignored",
            "file: `logs` is no part of an evidence document and is ignored",
        ]
    );
    let known = json!({"pod": crashing("a", 1), "events": []});
    let found = identify("file", &known.to_string(), clock()).unwrap();
    assert!(found.warnings.is_empty());
}

#[test]
fn what_is_no_kubernetes_is_refused_with_what_was_expected() {
    for text in ["hello", "7", "null", "{}", "[1, 2]", "[{\"a\": 1}]", "a: 1"] {
        let refused = identify("file", text, clock()).unwrap_err().to_string();
        assert_eq!(
            refused,
            "file: this is not Kubernetes: expected an object with `kind`, a List, or a document \
             with some of `pod`, `events`, `node`, `pvc`, `related`, `createError`",
            "{text}"
        );
    }
    for text in ["a: [", "{\"kind\": \"Pod\"", "a: b: c"] {
        let refused = identify("file", text, clock()).unwrap_err().to_string();
        let expected = "file: this is neither JSON nor YAML: ";
        assert!(refused.starts_with(expected), "{text}: {refused}");
    }
}

#[test]
fn a_file_without_an_object_is_refused() {
    for text in ["", "---\n", "# nothing\n"] {
        let refused = identify("file", text, clock()).unwrap_err().to_string();
        assert_eq!(refused, "file: there is no object in it", "{text:?}");
    }
}

/// It is about some Pod, like each that does not say otherwise.
#[test]
fn evidence_that_names_nothing_has_one_answer_which_is_that_no_fault_is_known() {
    for text in [
        "events: []",
        "{\"events\": []}",
        "pod: null",
        "pod: {}",
        "node: null",
        "related: []",
        "createError: null",
        "events: [7, null]",
        "events: {kind: List, items: []}",
    ] {
        let found = identify("file", text, clock()).unwrap();
        assert_eq!(told(&found.answers), [("Pod", "NoFault")], "{text}");
        let answer = &found.answers[0];
        assert_eq!(answer.verdict, None, "{text}");
        assert_eq!(answer.confidence, "Rest", "nothing is known: {text}");
        assert!(answer.evidence.is_empty(), "{text}");
    }
    let beside = format!("events: []\n---\n{}", crashing("a", 1));
    assert_eq!(
        told(&answers(&beside)),
        [("Pod n/a", "AppExitedNonZero"), ("Pod", "NoFault")]
    );
}

#[test]
fn a_list_of_nothing_has_no_answers() {
    for items in ["[]", "null"] {
        let text = format!("{{\"kind\": \"List\", \"items\": {items}}}");
        assert!(
            identify("file", &text, clock()).unwrap().answers.is_empty(),
            "{items}"
        );
    }
}
