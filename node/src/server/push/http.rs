//! One request to a push service (RFC 8030), encrypted for the client (RFC 8291) and signed by the node (RFC 8292), or to
//! the operator's gateway. The connection goes to an address that was checked, and to no other.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use ailurus::{channel::PushMessage, crypto::NodeSecret};
use base64ct::{Base64UrlUnpadded, Encoding};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, StatusCode, Uri,
    header::{
        AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, DATE, HOST, HeaderMap,
        RETRY_AFTER,
    },
    http::uri::{Parts, Scheme},
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde::Serialize;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use web_push_native::{Auth, p256::PublicKey};

use crate::{
    config::{Push as PushConfig, PushConfigError},
    push::{Endpoint, Outcome, Target, Vapid, bare, is_public},
    server::Shared,
    service::{Delivery, Network, PushOffer},
};

/// How this node pushes.
pub(crate) struct Pushing {
    vapid: Vapid,
    /// Where push services find the operator.
    contact: String,
    gateway: Option<Uri>,
    requests_per_second_per_host: u32,
    test_loopback: bool,
    test_ca: Option<PathBuf>,
    test_hosts: BTreeMap<String, Vec<IpAddr>>,
}

impl Pushing {
    /// As it is configured, for a node that clients reach at `host`; `None` if it is off.
    pub(crate) fn new(
        config: &PushConfig,
        node: &NodeSecret,
        host: &str,
    ) -> Result<Option<Self>, PushConfigError> {
        if !config.enabled {
            return Ok(None);
        }
        let checked = config.check()?;
        if config.is_for_tests() {
            tracing::warn!(
                "push.test_loopback, test_ca or test_hosts is set, which is for tests alone: with the first, clients can make \
                 this node send requests to services of this machine"
            );
        }
        Ok(Some(Self {
            vapid: Vapid::derive(node),
            contact: checked.contact.unwrap_or_else(|| match host.parse() {
                Ok(IpAddr::V6(ip)) => format!("https://[{ip}]"),
                _ => format!("https://{host}"),
            }),
            gateway: checked.gateway,
            requests_per_second_per_host: config.requests_per_second_per_host,
            test_loopback: config.test_loopback,
            test_ca: config.test_ca.clone(),
            test_hosts: config.test_hosts.clone(),
        }))
    }

    /// What clients are offered.
    pub(crate) fn offer(&self) -> PushOffer {
        PushOffer {
            vapid_key: self.vapid.public(),
            gateway: self.gateway.is_some(),
            loopback: self.test_loopback,
            requests_per_second_per_host: self.requests_per_second_per_host,
        }
    }
}

/// Sends requests.
pub(super) struct Sender {
    pushing: Pushing,
    /// Read from the system when it is needed first.
    tls: OnceLock<Option<Arc<ClientConfig>>>,
}

/// What a gateway is told (docs/OPERATING.md, "Push").
#[derive(Serialize)]
struct GatewayRequest<'a> {
    version: u32,
    platform: &'a str,
    token: &'a str,
    /// What the app is to be handed, base64url without padding.
    payload: String,
}

/// Where a request goes.
struct Destination {
    uri: Uri,
    /// The operator named it, so it may be anywhere.
    trusted: bool,
}

/// An answer, as far as it matters.
struct Answer {
    status: StatusCode,
    retry_after: Duration,
}

impl Sender {
    pub(super) fn new(pushing: Pushing) -> Self {
        Self {
            pushing,
            tls: OnceLock::new(),
        }
    }

    /// Sends one push; says how that went.
    pub(super) async fn send(&self, shared: &Shared, delivery: &Delivery) -> Outcome {
        let request = match &delivery.target {
            Target::WebPush(endpoint) => self.web_push(shared, endpoint, &delivery.message),
            Target::Gateway { platform, token } => {
                self.gateway(shared, platform, token, &delivery.message)
            }
        };
        let Some((destination, request)) = request else {
            return Outcome::Refused;
        };
        let sent = timeout(TIMEOUT, self.post(shared, &destination, request)).await;
        match sent {
            Ok(Ok(answer)) => judge(&answer),
            Ok(Err(outcome)) => outcome,
            Err(_) => Outcome::Later(Duration::ZERO),
        }
    }

    fn web_push(
        &self,
        shared: &Shared,
        endpoint: &Endpoint,
        message: &PushMessage,
    ) -> Option<(Destination, Request<Full<Bytes>>)> {
        let uri = endpoint.uri();
        let key = PublicKey::from_sec1_bytes(&endpoint.p256dh).ok()?;
        let auth = Auth::clone_from_slice(&endpoint.auth);
        let body = web_push_native::encrypt(message.to_bytes().to_vec(), &key, &auth).ok()?;
        let authorization = self.pushing.vapid.authorization(
            &origin(uri)?,
            &self.pushing.contact,
            shared.clock.now(),
        );
        let request = request(uri, authorization)?
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_ENCODING, "aes128gcm")
            .header("ttl", TTL_S)
            .header("topic", TOPIC)
            .header("urgency", "high")
            .body(Full::new(Bytes::from(body)));
        let destination = Destination {
            uri: uri.clone(),
            trusted: false,
        };
        Some((destination, request.ok()?))
    }

    fn gateway(
        &self,
        shared: &Shared,
        platform: &str,
        token: &str,
        message: &PushMessage,
    ) -> Option<(Destination, Request<Full<Bytes>>)> {
        let uri = self.pushing.gateway.as_ref()?;
        let body = GatewayRequest {
            version: GATEWAY_VERSION,
            platform,
            token,
            payload: Base64UrlUnpadded::encode_string(&message.to_bytes()),
        };
        let authorization = self.pushing.vapid.authorization(
            &origin(uri)?,
            &self.pushing.contact,
            shared.clock.now(),
        );
        let request = request(uri, authorization)?
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(serde_json::to_vec(&body).ok()?)));
        let destination = Destination {
            uri: uri.clone(),
            trusted: true,
        };
        Some((destination, request.ok()?))
    }

    /// Sends a request and reads the head of its answer; the body is not read.
    async fn post(
        &self,
        shared: &Shared,
        destination: &Destination,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, Outcome> {
        let host = bare(destination.uri.host().unwrap_or_default());
        let secure = destination.uri.scheme() == Some(&Scheme::HTTPS);
        let port = destination.uri.port_u16();
        let port = port.unwrap_or(if secure { 443 } else { 80 });
        let addresses = self
            .addresses(host, port, secure, destination.trusted)
            .await?;
        let stream = connect(shared, &addresses).await?;
        if !secure {
            return exchange(stream, request).await;
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|_| Outcome::Refused)?;
        let connector = TlsConnector::from(self.tls().ok_or(LATER)?);
        let stream = connector.connect(name, stream).await.map_err(|error| {
            tracing::debug!(%error, "a push service has no good certificate, or does not speak TLS");
            LATER
        })?;
        exchange(stream, request).await
    }

    /// Where a host is, as far as this node may go there.
    async fn addresses(
        &self,
        host: &str,
        port: u16,
        secure: bool,
        trusted: bool,
    ) -> Result<Vec<SocketAddr>, Outcome> {
        let found: Vec<SocketAddr> = match host.parse::<IpAddr>() {
            Ok(ip) => vec![SocketAddr::new(ip, port)],
            Err(_) => match self.pushing.test_hosts.get(host) {
                Some(ips) => ips.iter().map(|ip| SocketAddr::new(*ip, port)).collect(),
                None => lookup_host((host, port))
                    .await
                    .map_err(|_| LATER)?
                    .collect(),
            },
        };
        let may_go = |ip: IpAddr| {
            let here = ip.is_loopback() && self.pushing.test_loopback;
            here || (secure && (trusted || is_public(ip)))
        };
        let allowed: Vec<SocketAddr> = found
            .into_iter()
            .filter(|address| may_go(address.ip()))
            .take(ADDRESSES)
            .collect();
        if allowed.is_empty() {
            return Err(Outcome::NotPublic);
        }
        Ok(allowed)
    }

    /// `None` only if the provider has no version of TLS.
    fn tls(&self) -> Option<Arc<ClientConfig>> {
        let config = self.tls.get_or_init(|| {
            let mut roots = RootCertStore::empty();
            let system = rustls_native_certs::load_native_certs();
            let (known, _) = roots.add_parsable_certificates(system.certs);
            if let Some(path) = &self.pushing.test_ca {
                match CertificateDer::pem_file_iter(path) {
                    Ok(found) => {
                        roots.add_parsable_certificates(found.flatten());
                    }
                    Err(error) => tracing::error!(%error, "push.test_ca cannot be read"),
                }
            } else if known == 0 {
                tracing::error!(
                    "the system has no certificates of authorities, so no push service can be reached: install \
                     ca-certificates"
                );
            }
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let builder = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .ok()?;
            let mut config = builder.with_root_certificates(roots).with_no_client_auth();
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Some(Arc::new(config))
        });
        config.clone()
    }
}

/// Connects to one of these addresses.
async fn connect(shared: &Shared, addresses: &[SocketAddr]) -> Result<TcpStream, Outcome> {
    for address in addresses {
        if let Some(network) = Network::of(address.ip()) {
            let now = shared.clock.now();
            shared
                .service
                .may_connect(network, now)
                .map_err(Outcome::Wait)?;
        }
        if let Ok(Ok(stream)) = timeout(CONNECT, TcpStream::connect(address)).await {
            return Ok(stream);
        }
    }
    Err(LATER)
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer, Outcome>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let failed = |error: hyper::Error| {
        tracing::debug!(%error, "a push service does not answer as HTTP has it");
        LATER
    };
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    // Ends with this, and the connection with it.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let answer = sender.send_request(request).await.map_err(failed)?;
    Ok(Answer {
        status: answer.status(),
        retry_after: retry_after(answer.headers()),
    })
}

/// A POST for the path of a URL.
fn request(uri: &Uri, authorization: String) -> Option<hyper::http::request::Builder> {
    let mut parts = Parts::default();
    parts.path_and_query = uri.path_and_query().cloned();
    let path = match &parts.path_and_query {
        Some(_) => Uri::from_parts(parts).ok()?,
        None => Uri::from_static("/"),
    };
    Some(
        Request::post(path)
            .header(HOST, uri.authority()?.as_str())
            .header(CONNECTION, "close")
            .header(AUTHORIZATION, authorization),
    )
}

/// The origin of a URL (RFC 6454), for which a request is signed.
fn origin(uri: &Uri) -> Option<String> {
    let scheme = uri.scheme_str()?;
    let host = uri.host()?.to_ascii_lowercase();
    let usual = if scheme == "https" { 443 } else { 80 };
    match uri.port_u16().filter(|port| *port != usual) {
        Some(port) => Some(format!("{scheme}://{host}:{port}")),
        None => Some(format!("{scheme}://{host}")),
    }
}

fn judge(answer: &Answer) -> Outcome {
    match answer.status.as_u16() {
        200..=299 => Outcome::Delivered,
        404 | 410 => Outcome::Gone,
        408 | 429 | 500..=599 => Outcome::Later(answer.retry_after),
        // Redirects too: nobody but the client says where to push to.
        _ => Outcome::Refused,
    }
}

/// How long a push service wants to be left alone. A date is counted from the service's own.
fn retry_after(headers: &HeaderMap) -> Duration {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(after) = text(RETRY_AFTER).map(str::trim) else {
        return Duration::ZERO;
    };
    if let Ok(seconds) = after.parse() {
        return Duration::from_secs(seconds);
    }
    let date = |text| httpdate::parse_http_date(text).ok();
    match (date(after), text(DATE).and_then(date)) {
        (Some(until), Some(now)) => until.duration_since(now).unwrap_or_default(),
        _ => Duration::ZERO,
    }
}

const LATER: Outcome = Outcome::Later(Duration::ZERO);
/// What a request may take, and its connection.
const TIMEOUT: Duration = Duration::from_secs(15);
const CONNECT: Duration = Duration::from_secs(5);
/// Addresses of one name that are tried.
const ADDRESSES: usize = 2;
/// The head of an answer, in bytes.
const MAX_HEAD: usize = 16 << 10;
/// How long a push service keeps a wake-up for a phone that is off, in seconds: a day.
const TTL_S: u32 = 24 * 3_600;
/// A later wake-up takes the place of one that was not delivered yet (RFC 8030, section 5.4).
const TOPIC: &str = "ailurus";
const GATEWAY_VERSION: u32 = 1;
