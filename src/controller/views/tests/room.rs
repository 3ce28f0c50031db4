//! How much is kept of what others tell without measure.
//!
//! Rule: a list and a watch keep the same.

use super::*;

#[test]
fn events_of_the_claims_of_strangers_leave_room_for_those_of_pods_of_trees() {
    let mut views = loaded();
    let told = |number: u64, claim: &str| {
        let name = format!("e{number}");
        let about = ("PersistentVolumeClaim", claim, "uid");
        event(&name, about, "ProvisioningFailed", 1000 + number)
    };
    for number in 0..5100 {
        put::<ClaimEvents>(&mut views, told(number, &format!("c{number}")));
    }
    assert_eq!(views.claim_events.len(), 5000);
    let mut mounting = pod("p", "uid-w", "a", "Pending", 20);
    mounting["spec"]["volumes"] =
        json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]);
    put::<Pods>(&mut views, mounting.clone());
    assert_eq!(
        put::<ClaimEvents>(&mut views, told(5100, "data")),
        only("a")
    );
    assert_eq!(views.claim_events.len(), 5001);
    let gone = serde_json::from_value(mounting).unwrap();
    views.remove::<Pods>(&gone, None);
    assert!(put::<ClaimEvents>(&mut views, told(5101, "data")).is_empty());
    assert_eq!(views.claim_events.len(), 5001);
}

#[test]
fn no_object_can_fill_the_memory_with_what_is_told_of_it() {
    let mut views = loaded();
    for number in 0..300 {
        let name = format!("e{number}");
        put::<PodEvents>(
            &mut views,
            event(&name, ("Pod", "w-p", "uid-p"), "Unhealthy", 10 + number),
        );
    }
    assert_eq!(views.pod_events.len(), 200);
    let is_there =
        |views: &Views, name| views.pod_events.get(&ObjectKey::new("ns", name)).is_some();
    assert!(!is_there(&views, "e99"), "the oldest have gone");
    assert!(is_there(&views, "e100") && is_there(&views, "e299"));
    let again = event("e299", ("Pod", "w-p", "uid-p"), "Killing", 1000);
    put::<PodEvents>(&mut views, again);
    let snapshot = views.snapshot(&ObjectKey::new("ns", "a")).unwrap();
    let told = snapshot.events["uid-p"]
        .iter()
        .filter(|event| event.reason == "Killing");
    assert_eq!(
        told.count(),
        1,
        "what is known already may say something new"
    );
}

#[test]
fn of_a_page_of_a_list_is_kept_what_concerns_anybody_and_no_more_than_there_is_room_for() {
    let views = SharedViews::default();
    *views.lock() = loaded();
    let told = |number: u64, about| {
        let told = event(&format!("e{number}"), about, "Unhealthy", 10 + number);
        serde_json::from_value(told).unwrap()
    };
    let mut listing = Listing::<PodEvents>::default();
    let pages = [("Pod", "w-p", "uid-p"), ("Pod", "stranger-x", "s")];
    for (first, about) in (0..).step_by(300).zip(pages) {
        let page = (first..first + 300).map(|number| told(number, about));
        listing.add(&views, page.collect());
    }
    listing.add(&views, vec![told(900, ("Pod", "w-q", "uid-q"))]);
    let objects = listing.objects();
    assert_eq!(objects.len(), 201);
    views.lock().replace::<PodEvents>(None, "1000", objects);
    assert_eq!(views.lock().pod_events.len(), 201);
}

/// Events of claims that no Pod has, so many of each of these namespaces.
fn of_strangers(namespaces: &[(&str, u64)]) -> Vec<Value> {
    let mut number = 1000;
    let mut events = Vec::new();
    for (namespace, count) in namespaces {
        for _ in 0..*count {
            number += 1;
            let claim = format!("c{number}");
            let about = ("PersistentVolumeClaim", claim.as_str(), "uid");
            let name = format!("e{number}");
            let mut told = event(&name, about, "ProvisioningFailed", number);
            told["metadata"]["namespace"] = json!(namespace);
            told["regarding"]["namespace"] = json!(namespace);
            events.push(told);
        }
    }
    events
}

/// How many Events of claims are kept of each namespace, and the oldest one.
fn kept(views: &Views) -> Vec<(String, usize, String)> {
    let mut kept: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (key, _) in views.claim_events.iter() {
        let of_namespace = kept.entry(key.namespace.clone()).or_default();
        of_namespace.push(key.name.clone());
    }
    let kept = kept.into_iter();
    kept.map(|(namespace, names)| (namespace, names.len(), names[0].clone()))
        .collect()
}

#[test]
fn one_namespace_cannot_take_the_room_of_the_others_whether_it_is_listed_or_watched() {
    let events = of_strangers(&[("calm", 10), ("loud", 5100), ("late", 20)]);
    let expected = [
        ("calm".to_owned(), 10, "e1001".to_owned()),
        ("late".to_owned(), 20, "e6111".to_owned()),
        ("loud".to_owned(), 4970, "e1141".to_owned()),
    ];
    let mut watched = loaded();
    for told in &events {
        put::<ClaimEvents>(&mut watched, told.clone());
    }
    assert_eq!(kept(&watched), expected);
    let mut listed = loaded();
    list::<ClaimEvents>(&mut listed, None, &events);
    assert_eq!(kept(&listed), expected);
}

#[test]
fn what_there_was_no_room_for_is_taken_in_when_it_is_told_of_again() {
    let mut views = loaded();
    let told = |number: u64, version| {
        let about = ("Pod", "w-p", "uid-p");
        event(&format!("e{number}"), about, "Unhealthy", version)
    };
    for number in 0..300 {
        put::<PodEvents>(&mut views, told(number, 10 + number));
    }
    let first = ObjectKey::new("ns", "e0");
    assert!(views.pod_events.get(&first).is_none());
    assert!(
        put::<PodEvents>(&mut views, told(0, 10)).is_empty(),
        "it is the oldest"
    );
    assert_eq!(put::<PodEvents>(&mut views, told(0, 900)), only("a"));
    assert!(views.pod_events.get(&first).is_some());
}

#[test]
fn nobody_can_tell_of_the_pods_of_another_namespace() {
    let mut views = loaded();
    list::<Workers>(
        &mut views,
        Some("evil"),
        &[{
            let mut evil = worker("w", "uid-evil", ("x", "uid-x"), 7);
            evil["metadata"]["namespace"] = json!("evil");
            evil
        }],
    );
    let mut told = event("e", ("Pod", "w-p", "uid-p"), "Killing", 10);
    told["metadata"]["namespace"] = json!("evil");
    told["regarding"]["namespace"] = json!("evil");
    assert!(put::<PodEvents>(&mut views, told).is_empty());
    assert_eq!(views.pod_events.len(), 1);
    let snapshot = views.snapshot(&ObjectKey::new("ns", "a")).unwrap();
    assert_eq!(snapshot.events.len(), 0);
}
