//! Who wants what: people with rights, Pods that they want, and a namespace that does not allow each.
//!
//! Rule: everything is in force before it is handed out.

use e2e::cluster::Cluster;
use k8s_openapi::api::core::v1::{LimitRange, Namespace, ServiceAccount};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::super::kit::{
    PODS, Right, TREES, bind, client_as, create, dry, eventually, grant, grant_everywhere,
    pod_spec, until_may,
};

const USE_ROBOT: Right = Right("", "serviceaccounts", "use", "robot");
const USE_ALL: Right = Right("", "serviceaccounts", "use", "");

pub(super) struct Person {
    pub(super) name: &'static str,
    pub(super) client: Client,
}

/// What somebody wants to run: the specs of Pods, one for each child.
pub(super) struct Wish {
    pub(super) name: &'static str,
    pub(super) pods: Vec<Value>,
}

impl Wish {
    fn one(name: &'static str, fields: &Value) -> Self {
        Self {
            name,
            pods: vec![pod_spec(fields)],
        }
    }

    /// One container with these fields.
    fn container(name: &'static str, fields: &Value) -> Self {
        let mut pod = pod_spec(&json!({}));
        for (field, value) in fields.as_object().unwrap() {
            pod["containers"][0][field] = value.clone();
        }
        Self {
            name,
            pods: vec![pod],
        }
    }

    /// The names of accounts other than `default`.
    pub(super) fn accounts(&self) -> impl Iterator<Item = &str> {
        self.pods.iter().filter_map(|pod| {
            let field = |name: &str| pod[name].as_str().filter(|account| !account.is_empty());
            field("serviceAccountName")
                .or_else(|| field("serviceAccount"))
                .filter(|account| *account != "default")
        })
    }
}

pub(super) fn wishes() -> Vec<Wish> {
    let host_path = json!({"volumes": [{"name": "host", "hostPath": {"path": "/etc"}}]});
    let two = ["robot", "king"].map(|account| pod_spec(&json!({"serviceAccountName": account})));
    vec![
        Wish::one("plain", &json!({})),
        Wish::one("default-account", &json!({"serviceAccountName": "default"})),
        Wish::one("robot", &json!({"serviceAccountName": "robot"})),
        Wish::one("robot-deprecated", &json!({"serviceAccount": "robot"})),
        Wish::one("king", &json!({"serviceAccountName": "king"})),
        Wish {
            name: "robot-and-king",
            pods: two.to_vec(),
        },
        Wish::one("missing-account", &json!({"serviceAccountName": "ghost"})),
        Wish::container(
            "privileged",
            &json!({"securityContext": {"privileged": true}}),
        ),
        Wish::one("host-network", &json!({"hostNetwork": true})),
        Wish::one("host-path", &host_path),
        Wish::container(
            "capability",
            &json!({"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}),
        ),
        Wish::container(
            "too-large",
            &json!({"resources": {"limits": {"memory": "2Gi"}}}),
        ),
        Wish::one("missing-priority", &json!({"priorityClassName": "nowhere"})),
        Wish::container(
            "malformed",
            &json!({"volumeMounts": [{"name": "nowhere", "mountPath": "/x"}]}),
        ),
    ]
}

/// A namespace with a Pod Security standard, a limit and accounts.
pub(super) async fn guarded(cluster: &Cluster) -> String {
    let name = cluster.namespace("matrix").await.unwrap();
    let client = cluster.client();
    let label = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}});
    Api::<Namespace>::all(client.clone())
        .patch(&name, &PatchParams::default(), &Patch::Merge(label))
        .await
        .unwrap();
    let limit: LimitRange = serde_json::from_value(json!({"metadata": {"name": "limit"},
        "spec": {"limits": [{"type": "Container", "max": {"memory": "1Gi"}, "default": {"memory": "64Mi"}}]}}))
    .unwrap();
    Api::<LimitRange>::namespaced(client.clone(), &name)
        .create(&PostParams::default(), &limit)
        .await
        .unwrap();
    for account in ["robot", "king"] {
        let account: ServiceAccount =
            serde_json::from_value(json!({"metadata": {"name": account}})).unwrap();
        Api::<ServiceAccount>::namespaced(client.clone(), &name)
            .create(&PostParams::default(), &account)
            .await
            .unwrap();
    }
    // All of it is in force when the last of it is.
    for wish in ["privileged", "too-large", "king"] {
        let wish = wishes().into_iter().find(|one| one.name == wish).unwrap();
        let expected = wish.name == "king";
        eventually(&format!("{} is judged", wish.name), async || {
            (by_hand(&client, &name, &wish).await.is_ok() == expected).then_some(())
        })
        .await;
    }
    name
}

pub(super) async fn people(cluster: &Cluster, here: &str, elsewhere: &str) -> Vec<Person> {
    let mut people = Vec::new();
    let mut add = async |name: &'static str, groups: &[&str]| {
        let client = client_as(cluster, name, groups).await;
        people.push(Person { name, client });
    };
    add("administrator", &["system:masters"]).await;
    // No controller fills the roles `edit` and `view` here, so their parts are bound.
    let gitops = "system:serviceaccount:gitops:syncer";
    for (user, part) in [("editor", "edit"), (gitops, "edit"), ("viewer", "view")] {
        for role in [
            format!("system:aggregate-to-{part}"),
            format!("coppice-{part}"),
        ] {
            bind(cluster, here, user, "ClusterRole", &role).await;
        }
        add(user, &[]).await;
    }
    for (user, rights) in [
        ("author", &[TREES][..]),
        ("maker", &[TREES, PODS]),
        ("robots-maker", &[TREES, PODS, USE_ROBOT]),
        ("chief", &[TREES, PODS, USE_ALL]),
        ("podder", &[PODS]),
        ("podder-of-robots", &[PODS, USE_ROBOT]),
        ("account-holder", &[TREES, USE_ALL]),
    ] {
        grant(cluster, here, user, rights).await;
        add(user, &[]).await;
    }
    grant(cluster, elsewhere, "neighbour", &[TREES, PODS, USE_ALL]).await;
    grant(cluster, here, "half", &[TREES]).await;
    grant(cluster, elsewhere, "half", &[PODS, USE_ALL]).await;
    for user in ["neighbour", "half", "stranger"] {
        add(user, &[]).await;
    }
    grant_everywhere(cluster, "platform", &[TREES, PODS, USE_ROBOT]).await;
    add("platform", &[]).await;
    for person in &people {
        if ["editor", gitops].contains(&person.name) {
            until_may(&person.client, here, ["", "serviceaccounts", "use", ""]).await;
            until_may(&person.client, here, ["", "pods", "create", ""]).await;
        }
    }
    people
}

/// What becomes of the Pods when somebody makes them himself.
pub(super) async fn by_hand(client: &Client, namespace: &str, wish: &Wish) -> Result<(), String> {
    for spec in &wish.pods {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "by-hand-"}, "spec": spec});
        create(client, namespace, &pod, &dry()).await?;
    }
    Ok(())
}
