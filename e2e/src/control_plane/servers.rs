//! etcd and the API server: started, killed at any moment, and started again as they were.
//!
//! Rule: what is started again has the data, the ports and the flags of the first time, so that clients find it where
//! it was.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Error, Options, READY, client, flags, free_port, is_ready, write_kubeconfig};
use crate::pki::Pki;
use crate::process::{self, Process};
use crate::run::Run;

/// How often other ports are tried when another program was faster.
const PORT_ATTEMPTS: u32 = 5;

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// The store.
    Etcd,
    /// The API server.
    Api,
}

/// Both, as they run now.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) files: flags::Files,
    options: Options,
    data: PathBuf,
    ports: Ports,
    running: Mutex<[Process; 2]>,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    etcd: u16,
    peer: u16,
    api: u16,
}

impl Servers {
    /// Starts both on ports of their own and waits until the API server is ready.
    pub(super) async fn start(
        run: &Run,
        pki: &Pki,
        files: flags::Files,
        options: &Options,
    ) -> Result<Self, Error> {
        let mut attempt = 1;
        loop {
            // A free port may be taken by somebody else before the server listens on it; then others are tried.
            match Self::attempt(run, pki, &files, options).await {
                Err(Error::Process(process::Error::Ended { tail, .. }))
                    if attempt < PORT_ATTEMPTS && tail.contains("address already in use") =>
                {
                    attempt += 1;
                }
                outcome => {
                    let (data, ports, running) = outcome?;
                    return Ok(Self {
                        files,
                        options: options.clone(),
                        data,
                        ports,
                        running: Mutex::new(running),
                    });
                }
            }
        }
    }

    async fn attempt(
        run: &Run,
        pki: &Pki,
        files: &flags::Files,
        options: &Options,
    ) -> Result<(PathBuf, Ports, [Process; 2]), Error> {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let ports = Ports {
            etcd: free_port(loopback)?,
            peer: free_port(loopback)?,
            api: options
                .port
                .map_or_else(|| free_port(options.address), Ok)?,
        };
        let data = run
            .folder(&format!("etcd-{}", ports.etcd))
            .map_err(Error::Folder)?;
        let etcd = flags::etcd(run, files, &data, ports.etcd, ports.peer, options.fsync);
        let etcd = run.spawn(etcd).map_err(Error::Process)?;
        let api_server = flags::api_server(run, files, ports.etcd, ports.api, options);
        let api_server = run.spawn(api_server).map_err(Error::Process)?;

        let probe = run.dir().join("probe.kubeconfig");
        let server = url(options, ports);
        write_kubeconfig(pki, &server, &probe, "probe", &["system:masters"])?;
        let client = client(&probe).await?;
        let ready = api_server
            .ready(READY, async || {
                etcd.ended().is_some() || is_ready(&client).await
            })
            .await;
        if etcd.ended().is_some() {
            api_server.kill();
            etcd.ready(Duration::ZERO, async || false)
                .await
                .map_err(Error::Process)?;
        }
        if let Err(error) = ready {
            etcd.kill();
            return Err(Error::Process(error));
        }
        Ok((data, ports, [etcd, api_server]))
    }

    /// The API server's address.
    pub(super) fn url(&self) -> String {
        url(&self.options, self.ports)
    }

    /// Both processes.
    pub(super) fn processes(&self) -> [Process; 2] {
        self.running().clone()
    }

    /// Kills one (signal 9); `true` when it is gone.
    pub(super) fn kill(&self, server: Server) -> bool {
        self.running()[server as usize].kill()
    }

    /// Starts one again; does not wait until it is ready.
    pub(super) fn start_again(&self, run: &Run, server: Server) -> Result<(), Error> {
        let (files, options, ports) = (&self.files, &self.options, self.ports);
        let program = match server {
            Server::Etcd => flags::etcd(
                run,
                files,
                &self.data,
                ports.etcd,
                ports.peer,
                options.fsync,
            ),
            Server::Api => flags::api_server(run, files, ports.etcd, ports.api, options),
        };
        let process = run.spawn(program).map_err(Error::Process)?;
        self.running()[server as usize] = process;
        Ok(())
    }

    fn running(&self) -> MutexGuard<'_, [Process; 2]> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn url(options: &Options, ports: Ports) -> String {
    format!("https://{}", SocketAddr::new(options.address, ports.api))
}
