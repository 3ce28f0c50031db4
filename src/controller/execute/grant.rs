//! What to say when a namespace has not opted in: which right is missing, and the command that gives it.
//!
//! Rule: only an answer of the authorizer counts, because what admission says is text of others.

/// How the API server begins to say that the authorizer refused something.
const REFUSED: &str = " is forbidden: User \"";

/// The message of a refusal, with the command that lets this namespace opt in, when that is what is missing. `role` is
/// the `ClusterRole` that namespaces bind.
pub(super) fn explain(message: &str, role: Option<&str>, namespace: &str) -> String {
    match role.zip(refused_user(message)) {
        Some((role, user)) => format!(
            "the namespace has not opted in; whoever may bind roles in it does so by `kubectl create rolebinding {role} \
             --clusterrole={role} {} --namespace={namespace}` ({message})",
            subject(user)
        ),
        None => message.to_owned(),
    }
}

/// Whom the authorizer refused the right to create something.
fn refused_user(message: &str) -> Option<&str> {
    let (resource, rest) = message.split_once(REFUSED)?;
    let (user, rest) = rest.split_once('"')?;
    let refused = !resource.contains(' ') && rest.starts_with(" cannot create resource ");
    refused.then_some(user)
}

/// The user as `kubectl create rolebinding` wants him.
fn subject(user: &str) -> String {
    match user.strip_prefix("system:serviceaccount:") {
        Some(account) => format!("--serviceaccount={account}"),
        None => format!("--user={user}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSAL: &str = "workers.coppice.dev is forbidden: User \"system:serviceaccount:ops:coppice\" cannot create \
                           resource \"workers\" in API group \"coppice.dev\" in the namespace \"shop\"";

    #[test]
    fn the_command_is_said_where_namespaces_opt_in() {
        let message = explain(REFUSAL, Some("coppice-workloads"), "shop");
        let expected = "the namespace has not opted in; whoever may bind roles in it does so by `kubectl create \
                        rolebinding coppice-workloads --clusterrole=coppice-workloads \
                        --serviceaccount=ops:coppice --namespace=shop` (workers.coppice.dev is forbidden";
        assert!(message.starts_with(expected), "{message}");
        assert_eq!(explain(REFUSAL, None, "shop"), REFUSAL);
        let by_hand = REFUSAL.replace("system:serviceaccount:ops:coppice", "ann");
        assert!(explain(&by_hand, Some("r"), "shop").contains(" --user=ann "));
    }

    #[test]
    fn the_command_is_whole_in_a_condition_however_long_the_names_are() {
        let [namespace, release] = [63, 50].map(|length| "n".repeat(length));
        let user = format!("system:serviceaccount:{namespace}:{release}");
        let message = explain(
            &REFUSAL.replace("system:serviceaccount:ops:coppice", &user),
            Some(&format!("{release}-workloads")),
            &namespace,
        );
        let refusal = crate::model::world::Refusal {
            kind: "Worker",
            child: "w".to_owned(),
            slot: None,
            at: jiff::Timestamp::UNIX_EPOCH,
            code: 403,
            reason: "Forbidden".to_owned(),
            message,
        };
        let told = crate::model::fault::identify_refusal(&refusal).message;
        assert!(
            told.contains(&format!(" --namespace={namespace}`")),
            "{told}"
        );
    }

    #[test]
    fn what_admission_says_is_no_missing_right() {
        for other in [
            "pods \"a\" is forbidden: exceeded quota: small",
            "pods \"a\" is forbidden: violates PodSecurity \"restricted:latest\"",
            "admission webhook \"w\" denied the request: pods is forbidden: User \"u\" cannot create resource \"pods\"",
        ] {
            assert_eq!(explain(other, Some("coppice-workloads"), "shop"), other);
        }
    }
}
