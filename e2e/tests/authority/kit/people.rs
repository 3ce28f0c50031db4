//! People with rights, and what the API server allows them.
//!
//! Rule: a right that was given is in force before anybody relies on it.

use e2e::cluster::Cluster;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};

use super::{LEARNT_WITHIN, create, eventually};

const RBAC: &str = "rbac.authorization.k8s.io";
/// The rights that every author of trees has here.
pub(crate) const TREES: Right = Right(
    "coppice.dev",
    "supervisiontrees workers workers/scale",
    "*",
    "",
);
/// The right to make Pods by hand.
pub(crate) const PODS: Right = Right("", "pods", "create", "");

/// API group, resources, verbs, and names where the right is for some objects only; words separated by spaces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Right(
    pub(crate) &'static str,
    pub(crate) &'static str,
    pub(crate) &'static str,
    pub(crate) &'static str,
);

/// The right to write autoscalers.
pub(crate) const AUTOSCALERS: Right = Right("autoscaling", "horizontalpodautoscalers", "*", "");

/// A client of that user; `groups` may be left out.
pub(crate) async fn client_as(cluster: &Cluster, user: &str, groups: &[&str]) -> Client {
    let mut kubeconfig = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
    for known in &mut kubeconfig.auth_infos {
        let info = known.auth_info.get_or_insert_default();
        info.impersonate = Some(user.to_owned());
        info.impersonate_groups = Some(groups.iter().map(|&group| group.to_owned()).collect())
            .filter(|groups: &Vec<String>| !groups.is_empty());
    }
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap();
    config.default_retry = false;
    config.read_timeout = Some(LEARNT_WITHIN);
    Client::try_from(config).unwrap()
}

/// Gives `user`, who may be a `ServiceAccount`, rights in a namespace, and waits until the API server knows.
pub(crate) async fn grant(cluster: &Cluster, namespace: &str, user: &str, rights: &[Right]) {
    let name = user.replace(':', "-");
    let role = json!({"apiVersion": format!("{RBAC}/v1"), "kind": "Role", "metadata": {"name": name},
        "rules": rules(rights)});
    create(&cluster.client(), namespace, &role, &PostParams::default())
        .await
        .unwrap();
    bind(cluster, namespace, user, "Role", &name).await;
    until_granted(cluster, namespace, user, rights).await;
}

/// Gives `user` rights in all namespaces, and waits until the API server knows.
pub(crate) async fn grant_everywhere(cluster: &Cluster, user: &str, rights: &[Right]) {
    let role = json!({"apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRole", "metadata": {"name": user},
        "rules": rules(rights)});
    let binding = json!({"apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": user},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": user},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": user}]});
    for object in [role, binding] {
        let kind = GroupVersionKind::gvk(RBAC, "v1", object["kind"].as_str().unwrap());
        let all = Api::all_with(cluster.client(), &ApiResource::from_gvk(&kind));
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        all.create(&PostParams::default(), &object).await.unwrap();
    }
    until_granted(cluster, "default", user, rights).await;
}

fn rules(rights: &[Right]) -> Vec<Value> {
    let rule = |Right(group, resources, verbs, names): &Right| {
        json!({"apiGroups": [group], "resources": words(resources), "verbs": words(verbs),
            "resourceNames": words(names)})
    };
    rights.iter().map(rule).collect()
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

async fn until_granted(cluster: &Cluster, namespace: &str, user: &str, rights: &[Right]) {
    let asks = client_as(cluster, user, &[]).await;
    for Right(group, resources, verbs, names) in rights {
        for resource in words(resources) {
            let verb = words(verbs)[0].replace('*', "create");
            let name = words(names).first().copied().unwrap_or_default();
            until_may(&asks, namespace, [group, resource, &verb, name]).await;
        }
    }
}

/// Binds a role to `user` in a namespace.
pub(crate) async fn bind(cluster: &Cluster, namespace: &str, user: &str, kind: &str, role: &str) {
    let subject = match user.strip_prefix("system:serviceaccount:") {
        None => json!({"apiGroup": RBAC, "kind": "User", "name": user}),
        Some(account) => {
            let (namespace, name) = account.split_once(':').unwrap();
            json!({"kind": "ServiceAccount", "namespace": namespace, "name": name})
        }
    };
    let name = format!("{}-{role}", user.replace(':', "-"));
    let binding = json!({"apiVersion": format!("{RBAC}/v1"), "kind": "RoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": role}, "subjects": [subject]});
    create(
        &cluster.client(),
        namespace,
        &binding,
        &PostParams::default(),
    )
    .await
    .unwrap();
}

/// Waits until the API server allows that: group, resource, verb, name.
pub(crate) async fn until_may(client: &Client, namespace: &str, wanted: [&str; 4]) {
    eventually(&format!("{wanted:?} is allowed"), async || {
        may(client, namespace, wanted).await.then_some(())
    })
    .await;
}

/// Whether the API server allows that: group, resource, verb, name.
pub(crate) async fn may(client: &Client, namespace: &str, asked: [&str; 4]) -> bool {
    let [group, resource, verb, name] = asked;
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                namespace: text(namespace),
                group: text(group),
                resource: text(resource),
                subresource: text(subresource),
                verb: text(verb),
                name: text(name),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await;
    answer.unwrap().status.unwrap().allowed
}
