//! Claims: made, found made, and given owners.
//!
//! Rule: a claim is nobody's to be refused for; what is in it is changed by nobody here.

use serde_json::json;

use super::super::super::testing::Answer;
use super::*;

const CLAIMS: &str = "/api/v1/namespaces/ns/persistentvolumeclaims";
const NAME: &str = "data-t-w-0";

/// A claim that somebody else made.
fn claim_object(deleting: bool) -> Value {
    let mut claim = json!({"metadata": {"name": NAME, "namespace": "ns", "uid": "uc", "resourceVersion": "40"}});
    if deleting {
        claim["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    }
    claim
}

fn create_claim() -> Write {
    Write::CreateClaim {
        child: "w".to_owned(),
        slot: 0,
        name: NAME.to_owned(),
        body: json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": NAME}}),
    }
}

#[tokio::test]
async fn a_claim_that_is_there_is_seen_as_it_is_and_is_no_collision() {
    for deleting in [false, true] {
        let bench = Bench::new(move |seen| match seen.target.as_str() {
            target if target.starts_with("POST") => Answer::error(
                409,
                "AlreadyExists",
                "persistentvolumeclaims already exists",
            ),
            _ => Answer::Json(200, claim_object(deleting)),
        });
        let executed = bench.execute(|d| d.writes.push(create_claim())).await;
        assert_eq!(executed.unwrap(), Executed::Wrote);
        assert_eq!(
            bench.targets(),
            [format!("POST {CLAIMS}"), format!("GET {CLAIMS}/{NAME}")]
        );
        assert!(bench.observe().await.world.refusals.is_empty());
        let views = bench.context.views.lock();
        let known = views.claims.get(&ObjectKey::new("ns", NAME)).unwrap();
        assert_eq!(known.view.deleting, deleting);
    }
}

#[tokio::test]
async fn what_is_refused_to_a_claim_is_told_of_its_slot() {
    let bench = Bench::new(|_| Answer::error(403, "Forbidden", "exceeded quota: small"));
    let writes = [create_claim(), create_pod("p")];
    bench.execute(|d| d.writes.extend(writes)).await.unwrap();
    assert_eq!(bench.targets(), [format!("POST {CLAIMS}")], "and no Pod");
    let known = bench.observe().await.world.refusals;
    assert_eq!((known[0].child.as_str(), known[0].slot), ("w", Some(0)));
}

#[tokio::test]
async fn owners_are_merged_by_uid_against_a_version() {
    let bench = Bench::new(|_| Answer::Json(200, claim_object(false)));
    let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": "t-w-0", "uid": "up"});
    let write = Write::OwnClaim {
        child: "w".to_owned(),
        name: NAME.to_owned(),
        resource_version: "39".to_owned(),
        owner: Some(owner.clone()),
        former: vec!["uw".to_owned()],
    };
    bench.execute(|d| d.writes.push(write)).await.unwrap();
    assert_eq!(bench.targets(), [format!("PATCH {CLAIMS}/{NAME}")]);
    assert_eq!(
        bench.seen(0).body,
        json!({"metadata": {
            "resourceVersion": "39",
            "ownerReferences": [owner, {"$patch": "delete", "uid": "uw"}],
        }})
    );
}
