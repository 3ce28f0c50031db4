//! Lists, events, and what becomes of a watch that breaks.
//!
//! Rule: time is virtual; the server answers by a script.

use std::sync::Mutex;

use serde_json::{Value, json};

use super::*;
use crate::controller::testing::{self, Answer, Log, Seen};
use crate::controller::views::listed;
use crate::controller::wire::{self, protobuf};
use crate::runtime::metrics::Metrics;

const LIST: &str = "GET /api/v1/namespaces/ns/pods";

fn pod(name: &str, version: u64) -> Value {
    json!({"metadata": {"name": name, "namespace": "ns", "uid": name, "resourceVersion": version.to_string(),
        "labels": {"coppice.dev/tree": "t"}}})
}

fn page(items: &[Value], version: u64, more: &str) -> Answer {
    let metadata = json!({"resourceVersion": version.to_string(), "continue": more});
    Answer::Json(
        200,
        json!({"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": items}),
    )
}

fn event(what: &str, object: &Value) -> Value {
    json!({"type": what, "object": object})
}

struct Bench {
    around: Surroundings,
    log: Log,
    started: Instant,
    _watches: JoinSet<()>,
}

fn surroundings(client: Client) -> Surroundings {
    let metrics = Metrics::new("test");
    Surroundings {
        client,
        views: SharedViews::default(),
        wake: Wake::new(1, metrics.queue.clone()),
        metrics: metrics.api,
        troubles: Troubles::default(),
        config_maps: true,
    }
}

/// Watches Pods of one namespace on a server that answers by this script, and never once it is over.
fn watch(script: Vec<Answer>) -> Bench {
    let script = Mutex::new(script.into_iter());
    let (client, log) = testing::client(move |seen: &Seen| {
        assert!(
            seen.query
                .contains(&"labelSelector=coppice.dev%2Ftree".to_owned()),
            "{seen:?}"
        );
        script.lock().unwrap().next().unwrap_or(Answer::Never)
    });
    let around = surroundings(client);
    let mut watches = JoinSet::new();
    spawn::<Pods>(&mut watches, &around, Some("ns".to_owned()));
    Bench {
        around,
        log,
        started: Instant::now(),
        _watches: watches,
    }
}

impl Bench {
    /// Waits until that many requests were made, and returns the last one with the seconds until then.
    async fn request(&self, count: usize) -> (Seen, f64) {
        while self.log.lock().unwrap().len() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        (
            self.log.lock().unwrap()[count - 1].clone(),
            self.started.elapsed().as_secs_f64(),
        )
    }

    async fn version_of_request(&self, count: usize) -> Option<String> {
        let (seen, _) = self.request(count).await;
        assert_eq!(seen.target, LIST);
        let watching = seen.query.iter().any(|q| q == "watch=true");
        let version = seen
            .query
            .iter()
            .find_map(|q| q.strip_prefix("resourceVersion="));
        assert_eq!(watching, version.is_some(), "{seen:?}");
        version.map(str::to_owned)
    }

    fn pods(&self) -> Vec<String> {
        self.around
            .views
            .lock()
            .pods
            .iter()
            .map(|(key, _)| key.name.clone())
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_is_believed_when_it_is_complete() {
    let bench = watch(vec![page(&[pod("a", 1)], 9, "more"), Answer::Never]);
    bench.request(2).await;
    assert!(bench.pods().is_empty());
    let bench = watch(vec![
        page(&[pod("a", 1)], 9, "more"),
        page(&[pod("b", 2)], 9, ""),
        Answer::Never,
    ]);
    let (second, _) = bench.request(2).await;
    assert!(
        second.query.contains(&"continue=more".to_owned())
            && second.query.contains(&"limit=250".to_owned())
    );
    assert_eq!(bench.version_of_request(3).await.unwrap(), "9");
    assert_eq!(bench.pods(), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn events_are_taken_in_and_the_next_watch_goes_on_after_them() {
    let bookmark = json!({"type": "BOOKMARK", "object": {"kind": "Pod", "apiVersion": "v1",
        "metadata": {"resourceVersion": "15"}}});
    let events = vec![
        event("ADDED", &pod("b", 10)),
        event("MODIFIED", &pod("b", 11)),
        event("DELETED", &pod("a", 12)),
        bookmark,
    ];
    let bench = watch(vec![page(&[pod("a", 1)], 9, ""), Answer::Events(events)]);
    assert_eq!(bench.version_of_request(3).await.unwrap(), "15");
    assert_eq!(bench.pods(), ["b"]);
    let (seen, _) = bench.request(3).await;
    assert!(
        seen.query.contains(&"timeoutSeconds=20".to_owned()),
        "{seen:?}"
    );
}

/// A Pod of a tree in protobuf.
fn written_pod(name: &str, version: u64) -> Vec<u8> {
    wire::Pod::written(name, &version.to_string())
}

#[tokio::test(start_paused = true)]
async fn events_in_protobuf_are_taken_in_and_a_version_that_is_gone_brings_a_list() {
    let told = [
        protobuf::written("ADDED", &written_pod("b", 10)),
        protobuf::written("ADDED", &written_pod("c", 11)),
        protobuf::written("MODIFIED", &written_pod("b", 12)),
        protobuf::written("DELETED", &written_pod("a", 13)),
        protobuf::written("BOOKMARK", &protobuf::at_version("15")),
    ];
    let gone = protobuf::written("ERROR", &protobuf::a_refusal(410, "Expired", 0));
    let bench = watch(vec![
        page(&[pod("a", 1)], 9, ""),
        Answer::Stream(told.concat()),
        Answer::Stream(gone),
        page(&[pod("d", 20)], 21, ""),
    ]);
    let (seen, _) = bench.request(2).await;
    assert!(seen.accept.starts_with(protobuf::CONTENT_TYPE), "{seen:?}");
    assert_eq!(bench.version_of_request(3).await.unwrap(), "15");
    assert_eq!(bench.pods(), ["b", "c"]);
    assert_eq!(bench.version_of_request(4).await, None);
    assert_eq!(bench.version_of_request(5).await.unwrap(), "21");
    assert_eq!(bench.pods(), ["d"]);
}

/// Who makes a Pod in protobuf may put bytes into it that are no text. That must not blind a watch.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_from_protobuf_is_asked_for_in_json() {
    let odd = protobuf::written("ADDED", b"\x0a\x03\x0a\x01\xff");
    let bench = watch(vec![
        page(&[pod("a", 1)], 9, ""),
        Answer::Stream(odd),
        Answer::Events(vec![event("ADDED", &pod("b", 10))]),
        Answer::Never,
    ]);
    let (seen, _) = bench.request(3).await;
    assert_eq!(seen.accept, "", "{seen:?}");
    assert_eq!(bench.version_of_request(3).await.unwrap(), "9");
    assert_eq!(bench.version_of_request(4).await.unwrap(), "10");
    assert_eq!(bench.pods(), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_gone_brings_a_list() {
    let gone = Answer::error(410, "Expired", "too old resource version");
    let in_stream = Answer::Events(vec![
        json!({"type": "ERROR", "object": {"kind": "Status", "code": 410,
        "message": "too old", "reason": "Expired", "status": "Failure"}}),
    ]);
    for gone in [gone, in_stream] {
        let bench = watch(vec![
            page(&[pod("a", 1)], 9, ""),
            gone,
            page(&[pod("b", 20)], 21, ""),
        ]);
        assert_eq!(bench.version_of_request(3).await, None);
        assert_eq!(bench.version_of_request(4).await.unwrap(), "21");
        assert_eq!(bench.pods(), ["b"]);
    }
}

#[tokio::test(start_paused = true)]
async fn failures_wait_longer_each_time_and_the_second_brings_a_list() {
    let down = || Answer::error(503, "ServiceUnavailable", "down");
    let mut script = vec![page(&[], 9, "")];
    script.extend((0..9).map(|_| down()));
    let bench = watch(script);
    assert_eq!(bench.version_of_request(2).await.unwrap(), "9");
    assert_eq!(
        bench.version_of_request(3).await.unwrap(),
        "9",
        "one failure is no reason to list"
    );
    assert_eq!(bench.version_of_request(4).await, None);
    let mut gaps = Vec::new();
    for count in 5..9 {
        let (_, before) = bench.request(count).await;
        let (_, after) = bench.request(count + 1).await;
        gaps.push((after - before).round());
    }
    assert_eq!(gaps, [2.0, 4.0, 5.0, 5.0]);
}

/// It is listed now and then, ever more seldom, and its trees are told.
/// An outage of a minute: what decisions rest on is asked for every 5 s, the rest every 20 s.
#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_gone_is_asked_seldom() {
    let (client, log) = testing::client(|_: &Seen| Answer::Json(503, json!({})));
    let around = surroundings(client);
    {
        let mut views = around.views.lock();
        views.replace::<Workers>(None, "1", Vec::new());
        views.replace::<Pods>(None, "1", Vec::new());
        views.replace::<PodEvents>(None, "1", Vec::new());
        views.replace::<ClaimEvents>(None, "1", Vec::new());
        views.replace::<NodeEvents>(None, "1", Vec::new());
        views.replace::<Claims>(None, "1", Vec::new());
        views.replace::<Quotas>(None, "1", Vec::new());
    }
    let _watches = start(&around, &[]);
    tokio::time::sleep(Duration::from_mins(1)).await;
    let asked = |path: &str| {
        let log = log.lock().unwrap();
        let hits = log.iter().filter(|seen| seen.target.ends_with(path));
        hits.count()
    };
    let needed = ["/supervisiontrees", "/workers", "/pods", "/nodes"];
    assert_eq!(needed.map(asked), [16; 4]);
    let hoped = ["/persistentvolumeclaims", "/resourcequotas"];
    assert_eq!(hoped.map(asked), [9; 2]);
    assert_eq!(asked("/events"), 3 * 9, "of Pods, of claims and of nodes");
}

#[tokio::test(start_paused = true)]
async fn what_may_be_listed_but_not_watched_is_listed_every_few_seconds() {
    let (client, log) = testing::client(|seen: &Seen| {
        if seen.query.contains(&"watch=true".to_owned()) {
            Answer::error(403, "Forbidden", "pods is forbidden: cannot watch")
        } else {
            page(&[pod("a", 1)], 9, "")
        }
    });
    let around = surroundings(client);
    let mut watches = JoinSet::new();
    spawn::<Pods>(&mut watches, &around, Some("ns".to_owned()));
    tokio::time::sleep(Duration::from_mins(1)).await;
    let requests = log.lock().unwrap().len();
    assert!((25..40).contains(&requests), "{requests}");
    let mut views = around.views.lock();
    let unseen = |views: &mut crate::controller::views::Views| {
        views.replace::<Trees>(
            None,
            "1",
            vec![listed::<Trees>(
                serde_json::from_value(
                    json!({"metadata": {"name": "t", "namespace": "ns", "uid": "u",
                "resourceVersion": "1"}, "spec": {"children": []}}),
                )
                .unwrap(),
            )],
        );
        views.snapshot(&ObjectKey::new("ns", "t")).unwrap().unseen
    };
    let told = unseen(&mut views);
    assert_eq!(told[0].kind, "Pod");
    assert!(told[0].message.contains("cannot watch"), "{told:?}");
    assert_eq!(
        views.unsee::<Pods>(Some("ns"), None),
        BTreeSet::from([ObjectKey::new("ns", "t")])
    );
    assert!(unseen(&mut views).is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_api_server_is_left_alone_for_as_long_as_it_asks() {
    let busy = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 429,
        "details": {"retryAfterSeconds": 7}});
    let bench = watch(vec![Answer::Json(429, busy), page(&[], 9, "")]);
    let (_, seconds) = bench.request(2).await;
    assert!((7.0..7.1).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_never_answered_is_begun_again() {
    let bench = watch(vec![page(&[], 9, ""), Answer::Never]);
    let (_, seconds) = bench.request(3).await;
    assert!((10.0..12.0).contains(&seconds), "{seconds}");
}

/// However much it said before, and also when nothing at all happens to a kind.
#[tokio::test(start_paused = true)]
async fn a_watch_that_went_dark_is_found_when_its_end_is_overdue() {
    for said in [vec![], vec![event("ADDED", &pod("b", 10))]] {
        let resumed = if said.is_empty() { "9" } else { "10" };
        let bench = watch(vec![page(&[], 9, ""), Answer::Dark(said)]);
        assert_eq!(bench.version_of_request(3).await.unwrap(), resumed);
        let (_, seconds) = bench.request(3).await;
        assert!((24.0..25.0).contains(&seconds), "{seconds}");
        let age = bench.around.troubles.ages()["Pod"];
        assert!(age < Duration::from_secs(26), "{age:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_fails_holds_up_no_other() {
    let (client, _log) = testing::client(|seen: &Seen| {
        let is_watch = seen.query.contains(&"watch=true".to_owned());
        match seen.target.as_str() {
            LIST => Answer::error(500, "InternalError", "no Pods today"),
            _ if is_watch => Answer::Never,
            _ => page(&[], 9, ""),
        }
    });
    let around = surroundings(client);
    let views = around.views.clone();
    let begun = Instant::now();
    let _watches = start(&around, &["ns".to_owned()]);
    let seen = |views: &SharedViews| {
        let views = views.lock();
        let scope = Some("ns");
        [
            views.trees.seen(scope),
            views.workers.seen(scope),
            views.nodes.seen(None),
        ]
    };
    while seen(&views) != [Version::parse("9"); 3] {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(begun.elapsed() < BACKOFF.0, "nobody waited for the Pods");
    assert_eq!(views.lock().pods.seen(Some("ns")), Version::default());
}

#[tokio::test(start_paused = true)]
async fn nodes_that_may_not_be_read_are_done_without() {
    let nodes = |version: &str| {
        let metadata = json!({"resourceVersion": version});
        let item = json!({"metadata": {"name": "n", "uid": "n", "resourceVersion": version}});
        Answer::Json(
            200,
            json!({"kind": "NodeList", "apiVersion": "v1", "metadata": metadata, "items": [item]}),
        )
    };
    let forbidden = || Answer::error(403, "Forbidden", "nodes is forbidden");
    // Refused at first, then for a moment in the middle of a watch.
    let script = [forbidden(), nodes("5"), forbidden(), nodes("9")];
    let script = Mutex::new(script.into_iter());
    let (client, log) =
        testing::client(move |_| script.lock().unwrap().next().unwrap_or(Answer::Never));
    let around = surroundings(client);
    let views = around.views.clone();
    let mut watches = JoinSet::new();
    spawn::<Nodes>(&mut watches, &around, None);
    let until = async |count: usize| {
        while log.lock().unwrap().len() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    until(1).await;
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert_eq!(log.lock().unwrap().len(), 1);
    assert_eq!(log.lock().unwrap()[0].target, "GET /api/v1/nodes");
    assert!(are_forbidden(&views), "everything else is enough");
    until(3).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(are_forbidden(&views));
    until(5).await;
    let again = log.lock().unwrap()[3].clone();
    assert!(!again.query.contains(&"watch=true".to_owned()), "{again:?}");
    assert!(!are_forbidden(&views), "they are known again");
}

/// It only makes answers better, so that nobody waits for it for long; but it is taken in when it comes.
#[tokio::test(start_paused = true)]
async fn a_first_list_of_events_that_takes_long_is_done_without_until_it_has_come() {
    let event = |name: &str, kind: &str| {
        json!({"metadata": {"name": name, "namespace": "ns", "uid": name, "resourceVersion": "7"},
            "regarding": {"kind": kind, "namespace": "ns", "name": "data", "uid": "c"}})
    };
    let page = |events: &[Value], more: &str| {
        let metadata = json!({"resourceVersion": "9", "continue": more});
        let list = json!({"kind": "EventList", "apiVersion": "events.k8s.io/v1", "metadata": metadata, "items": events});
        Answer::Late(Duration::from_secs(4), list)
    };
    let claim = "PersistentVolumeClaim";
    let script = [
        page(&[event("a", claim), event("b", "Pod")], "more"),
        page(&[event("c", claim)], ""),
    ];
    let script = Mutex::new(script.into_iter());
    let (client, log) =
        testing::client(move |_| script.lock().unwrap().next().unwrap_or(Answer::Never));
    let around = surroundings(client);
    let views = around.views.clone();
    let is_loaded = || views.lock().is_loaded("ns");
    {
        let mut views = views.lock();
        views.replace::<Trees>(None, "1", vec![]);
        views.replace::<Workers>(None, "1", vec![]);
        views.replace::<Revisions>(None, "1", vec![]);
        views.replace::<Pods>(None, "1", vec![]);
        views.replace::<Nodes>(None, "1", vec![]);
        views.replace::<PodEvents>(None, "1", vec![]);
        views.replace::<NodeEvents>(None, "1", vec![]);
    }
    let mut watches = JoinSet::new();
    spawn::<ClaimEvents>(&mut watches, &around, None);
    tokio::time::sleep(Duration::from_millis(4900)).await;
    assert!(!is_loaded());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(is_loaded());
    assert_eq!(log.lock().unwrap().len(), 2, "the list goes on");
    assert_eq!(views.lock().claim_events.len(), 0);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(is_loaded());
    assert_eq!(views.lock().claim_events.len(), 2);
    assert_eq!(log.lock().unwrap().len(), 3, "and is followed by a watch");
}

/// Whether decisions are made without any knowledge of nodes.
fn are_forbidden(views: &SharedViews) -> bool {
    let mut views = views.lock();
    let tree = json!({"metadata": {"name": "t", "namespace": "ns", "uid": "u", "resourceVersion": "1"},
        "spec": {"children": []}});
    views.replace::<Trees>(
        None,
        "1",
        vec![listed::<Trees>(serde_json::from_value(tree).unwrap())],
    );
    views.replace::<Workers>(None, "1", vec![]);
    views.replace::<Revisions>(None, "1", vec![]);
    views.replace::<Pods>(None, "1", vec![]);
    views.replace::<PodEvents>(None, "1", vec![]);
    views.replace::<ClaimEvents>(None, "1", vec![]);
    views.replace::<NodeEvents>(None, "1", vec![]);
    assert!(views.is_loaded("ns"));
    views
        .snapshot(&ObjectKey::new("ns", "t"))
        .unwrap()
        .nodes
        .is_none()
}

#[tokio::test(start_paused = true)]
async fn of_config_maps_only_the_metadata_is_asked_for() {
    let list = json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": "9"},
        "items": [{"metadata": {"name": "c", "namespace": "ns", "uid": "u", "resourceVersion": "7"}}]});
    let (client, log) = testing::client(move |seen: &Seen| {
        if seen.query.contains(&"watch=true".to_owned()) {
            Answer::Never
        } else {
            Answer::Json(200, list.clone())
        }
    });
    let around = surroundings(client);
    let views = around.views.clone();
    let mut watches = JoinSet::new();
    spawn::<ConfigMaps>(&mut watches, &around, Some("ns".to_owned()));
    while log.lock().unwrap().len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for seen in log.lock().unwrap().iter() {
        assert_eq!(seen.target, "GET /api/v1/namespaces/ns/configmaps");
        assert!(seen.accept.contains("as=PartialObjectMetadata"), "{seen:?}");
    }
    assert_eq!(views.lock().config_maps.len(), 1);
}
