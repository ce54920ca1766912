//! A whole node: data directory, store, endpoint, threads.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use ailurus::{
    channel::NodeLink,
    crypto::{NodeKey, NodeSecret},
    net::{NodeEndpoint, NodeOptions, ProbeHandler},
    wire::time::Clock,
};
use tokio::task::JoinHandle;

use crate::{
    config::Config,
    error::NodeError,
    http,
    identity::DataDir,
    metrics::Metrics,
    server::{Answering, Dialling, Pushing, Server},
    service::Service,
    store::Store,
};

/// A running super node. Dropping it stops it without waiting, and its directory is in use until the last commit;
/// [`Node::stop`] is better.
pub struct Node {
    server: Server,
    endpoint: Arc<NodeEndpoint>,
    local: SocketAddr,
    link: NodeLink,
    metrics: Arc<Metrics>,
    metrics_local: Option<SocketAddr>,
    http: Option<JoinHandle<()>>,
    /// Held until the rest is gone.
    _data: DataDir,
}

impl Node {
    /// Starts a node: makes its data directory if there is none, and listens. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// If the listen address is a wildcard and no other is advertised, the directory cannot be written or is in use, the
    /// port is taken, or the database cannot be opened.
    pub fn start(config: Config, clock: Arc<dyn Clock>) -> Result<Self, NodeError> {
        if config.listen.ip().is_unspecified() && config.advertise.is_none() {
            return Err(NodeError::WildcardListen(config.listen));
        }
        let data = DataDir::open(&config.data)?;
        let secret = data.key()?;
        let mut store = Store::open(&data.database())?;
        if config.restored {
            store.begin_generation()?;
        }
        let key = secret.public();
        let service = Arc::new(Service::new(Arc::new(store), config.limits.clone(), key));
        let (answering, questions) = Answering::new(&service, Arc::clone(&clock));
        let endpoint = Arc::new(bind(&config, &data, &secret, Arc::new(answering))?);
        let listen = config.listen;
        let local = endpoint
            .local_addr()
            .map_err(|source| ailurus::net::NetError::Bind {
                addr: listen,
                source,
            })?;
        let link = link(&config, key, local)?;
        data.keep_link(&link)?;
        service.advertise(link.host());
        if config.trust_clock {
            service.trust_clock();
        }
        let pushing = Pushing::new(&config.push, &secret, link.host())?;
        if let Some(pushing) = &pushing {
            service.offer_push(pushing.offer(), clock.now())?;
        }
        let metrics = Arc::clone(service.metrics());
        let (http, metrics_local) = match config.metrics {
            Some(addr) => {
                let (task, local) = serve_metrics(addr, &metrics)?;
                (Some(task), Some(local))
            }
            None => (None, None),
        };
        let dialling = Dialling {
            secret,
            listen,
            dht: config.dht,
        };
        let server = Server::start(
            Arc::clone(&endpoint),
            service,
            clock,
            dialling,
            questions,
            pushing,
            data.lock(),
        )?;
        Ok(Self {
            server,
            endpoint,
            local,
            link,
            metrics,
            metrics_local,
            http,
            _data: data,
        })
    }

    /// What clients are given to find and recognise this node.
    pub fn link(&self) -> &NodeLink {
        &self.link
    }

    /// The UDP address it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The TCP address of `/metrics`, if it is served.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_local
    }

    /// What it counts.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Stops: accepts nobody any more, finishes the open commit, answers, closes all connections. Takes at most about
    /// two seconds, unless the disk hangs.
    pub async fn stop(mut self) {
        self.server.stop().await;
        // The last answers are with their tasks; a closed connection would swallow them.
        tokio::time::sleep(LAST_ANSWERS).await;
        self.endpoint.close(0, "the node stops");
        // A peer that is gone already must not hold us up.
        let _ = tokio::time::timeout(LAST_PACKETS, self.endpoint.wait_idle()).await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.endpoint.close(0, "the node stops");
        if let Some(http) = &self.http {
            http.abort();
        }
    }
}

/// With port 0, the port is the one of the last time.
fn bind(
    config: &Config,
    data: &DataDir,
    secret: &NodeSecret,
    probes: Arc<dyn ProbeHandler>,
) -> Result<NodeEndpoint, NodeError> {
    let bind = |addr| {
        let options = NodeOptions {
            idle_timeout: config.limits.idle_timeout(),
            ..NodeOptions::default()
        };
        NodeEndpoint::bind_answering(addr, secret, options, Arc::clone(&probes))
    };
    if config.listen.port() != 0 {
        return Ok(bind(config.listen)?);
    }
    if let Some(port) = data.port()? {
        let addr = SocketAddr::new(config.listen.ip(), port);
        return bind(addr).map_err(|source| NodeError::KeptPort {
            port,
            path: data.port_path(),
            source,
        });
    }
    let endpoint = bind(config.listen)?;
    if let Ok(local) = endpoint.local_addr() {
        data.keep_port(local.port())?;
    }
    Ok(endpoint)
}

fn link(config: &Config, key: NodeKey, local: SocketAddr) -> Result<NodeLink, NodeError> {
    let link = match &config.advertise {
        Some((host, port)) => NodeLink::new(key, host, *port)?,
        None => NodeLink::new(key, &local.ip().to_string(), local.port())?,
    };
    Ok(link)
}

fn serve_metrics(
    addr: SocketAddr,
    metrics: &Arc<Metrics>,
) -> Result<(JoinHandle<()>, SocketAddr), NodeError> {
    let failed = |source| NodeError::Metrics { addr, source };
    let listener = TcpListener::bind(addr).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
    Ok((
        tokio::spawn(http::serve(listener, Arc::clone(metrics))),
        local,
    ))
}

/// Time for the tasks to write the last answers.
const LAST_ANSWERS: Duration = Duration::from_millis(50);
/// Time for the last packets to leave.
const LAST_PACKETS: Duration = Duration::from_secs(1);
