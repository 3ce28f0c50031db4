//! The files a node's programs are configured by.
//!
//! Rule: every path in them is one that only the node sees ([`super::layout`]), so that a node can use the usual places
//! without touching those of the machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::statfs;
use serde_json::{Value, json};

use super::{Error, Node, NodeOptions, init, layout};
use crate::cgroup::Subtree;
use crate::kubeconfig::{self, Credential};
use crate::pki::{self, Pki};
use crate::{images, network};

/// The Service address that Pods are told to ask for names; a cluster may have a name server there.
const CLUSTER_DNS: &str = "10.96.0.10";
/// `statfs` of an overlay file system, on which another overlay cannot be stacked.
const OVERLAYFS_MAGIC: i64 = 0x794c_7630;

/// Writes the configuration of the node's programs and the instructions for its PID 1.
pub(super) fn write(node: &Node, pki: &Pki, server: &str, images: &[PathBuf]) -> Result<(), Error> {
    let folder = node.dir.join("config");
    let cni = folder.join("cni");
    fs::create_dir_all(&cni).map_err(|source| Error::File { path: cni, source })?;
    for (name, text) in files(
        &node.options,
        node.index,
        &credentials(node, pki, server)?,
        &node.dir,
    ) {
        pki::write_private(&folder.join(name), &text).map_err(Error::Pki)?;
    }
    let programs = [
        "containerd",
        "containerd-shim-runc-v2",
        "ctr",
        "kubelet",
        "kube-proxy",
    ];
    let boot = init::Boot {
        name: node.name().to_owned(),
        index: node.index,
        labels: node.options.labels.clone(),
        dir: node.dir.clone(),
        logs: init::SERVICES.map(|service| node.service_log(service)),
        programs: programs.map(|name| node.run.binaries().path(name)).to_vec(),
        images: images.to_vec(),
    };
    let path = node.dir.join("boot.json");
    let text = serde_json::to_vec_pretty(&boot).map_err(std::io::Error::from);
    text.and_then(|text| fs::write(&path, text))
        .map_err(|source| Error::File { path, source })
}

/// The texts that let a node's programs and the API server know each other.
struct Credentials {
    ca: String,
    serving_certificate: String,
    serving_key: String,
    kubelet_kubeconfig: String,
    kube_proxy_kubeconfig: String,
}

fn credentials(node: &Node, pki: &Pki, server: &str) -> Result<Credentials, Error> {
    let name = node.name();
    let user = format!("system:node:{name}");
    let kubelet = pki.client(&user, &["system:nodes"]).map_err(Error::Pki)?;
    // Kubernetes itself binds this user to system:node-proxier.
    let kube_proxy = pki.client("system:kube-proxy", &[]).map_err(Error::Pki)?;
    let file = format!("{name}-serving");
    let serving = pki
        .server_files(&file, &user, &["system:nodes"], &[name], &[node.address()])
        .map_err(Error::Pki)?;
    Ok(Credentials {
        ca: pki.ca().to_owned(),
        serving_certificate: read(&serving.certificate)?,
        serving_key: read(&serving.key)?,
        kubelet_kubeconfig: kubeconfig::text(server, pki.ca(), &Credential::Certificate(kubelet)),
        kube_proxy_kubeconfig: kubeconfig::text(
            server,
            pki.ca(),
            &Credential::Certificate(kube_proxy),
        ),
    })
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })
}

/// The files of one node, by name: they belong into the folder that the node sees as [`layout::CONFIG`].
fn files(
    options: &NodeOptions,
    index: u8,
    credentials: &Credentials,
    dir: &Path,
) -> Vec<(&'static str, String)> {
    vec![
        ("ca.crt", credentials.ca.clone()),
        ("kubelet.crt", credentials.serving_certificate.clone()),
        ("kubelet.key", credentials.serving_key.clone()),
        ("kubelet.kubeconfig", credentials.kubelet_kubeconfig.clone()),
        (
            "kube-proxy.kubeconfig",
            credentials.kube_proxy_kubeconfig.clone(),
        ),
        ("containerd.toml", containerd(snapshotter(dir))),
        ("kubelet.json", kubelet(options).to_string()),
        ("kube-proxy.json", kube_proxy(options).to_string()),
        ("cni/10-coppice.conflist", cni(index).to_string()),
        // Pods get no resolver of the machine: nothing outside the cluster is to be reached.
        ("resolv.conf", String::new()),
    ]
}

/// How images are unpacked: copied whole where layers cannot be stacked.
fn snapshotter(dir: &Path) -> &'static str {
    match statfs(dir) {
        Ok(stat) if stat.f_type == OVERLAYFS_MAGIC => "native",
        _ => "overlayfs",
    }
}

fn containerd(snapshotter: &str) -> String {
    let config = layout::CONFIG;
    let sandbox = images::SANDBOX;
    // restrict_oom_score_adj: without CAP_SYS_RESOURCE, as in many virtual machines, no score can be lowered.
    // disable_apparmor: a profile would stay loaded in the machine's kernel.
    // The `opt` plugin would make /opt/containerd on the machine; nobody extends these nodes by NRI.
    format!(
        r"version = 3
disabled_plugins = ['io.containerd.internal.v1.opt']
[plugins.'io.containerd.nri.v1.nri']
disable = true
[plugins.'io.containerd.cri.v1.images']
snapshotter = '{snapshotter}'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = '{sandbox}'
[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true
disable_apparmor = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ['/usr/lib/cni', '/opt/cni/bin']
conf_dir = '{config}/cni'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'
snapshotter = '{snapshotter}'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
BinaryName = 'runc'
"
    )
}

fn kubelet(options: &NodeOptions) -> Value {
    let config = layout::CONFIG;
    let mut kubelet = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": format!("{config}/ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": format!("{config}/kubelet.crt"),
        "tlsPrivateKeyFile": format!("{config}/kubelet.key"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": Subtree::named(&options.name).root(),
        "failCgroupV1": false,
        "failSwapOn": false,
        "containerRuntimeEndpoint": format!("unix://{}", layout::CONTAINERD_SOCKET),
        "clusterDNS": [CLUSTER_DNS],
        "clusterDomain": "cluster.local",
        "resolvConf": format!("{config}/resolv.conf"),
        // Its default is a folder of the machine.
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        "serializeImagePulls": false,
        // The machine's disk and memory are shared with whatever else runs on it: only real need evicts, and images stay.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
    });
    if let Some(period) = options.max_container_restart_period {
        kubelet["crashLoopBackOff"] = json!({"maxContainerRestartPeriod": duration(period)});
    }
    if let Some(seconds) = options.lease_duration_seconds {
        kubelet["nodeLeaseDurationSeconds"] = json!(seconds);
    }
    if let Some(period) = options.status_update_frequency {
        kubelet["nodeStatusUpdateFrequency"] = json!(duration(period));
    }
    kubelet
}

fn kube_proxy(options: &NodeOptions) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": format!("{}/kube-proxy.kubeconfig", layout::CONFIG)},
        "clusterCIDR": network::PODS,
        "hostnameOverride": options.name,
        // Zero leaves the connection tracking limits, which belong to the machine, as they are.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    })
}

fn cni(index: u8) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "coppice",
        "plugins": [{
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": true,
            // The machine and the other nodes have routes to every Pod, so addresses need not be hidden.
            "ipMasq": false,
            "hairpinMode": true,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": network::pod_range(index)}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
}

/// A Go duration.
fn duration(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_asked_for_keeps_the_kubelets_default() {
        let plain = kubelet(&NodeOptions::named("node-a"));
        for key in [
            "crashLoopBackOff",
            "nodeLeaseDurationSeconds",
            "nodeStatusUpdateFrequency",
        ] {
            assert_eq!(plain.get(key), None, "{key}");
        }
        let mut options = NodeOptions::named("node-a");
        options.max_container_restart_period = Some(Duration::from_secs(2));
        assert_eq!(
            kubelet(&options)["crashLoopBackOff"]["maxContainerRestartPeriod"],
            "2000ms"
        );
    }
}
