//! A push service for tests: HTTP/1.1, with TLS or without, which keeps what it is sent and answers as it is told.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use ailurus::client::PushTarget;
use base64ct::{Base64UrlUnpadded, Encoding};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode, body::Incoming, header::HeaderMap, service::service_fn,
};
use hyper_util::rt::TokioIo;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::mpsc,
    task::JoinHandle,
    time::Instant,
};
use tokio_rustls::TlsAcceptor;
use web_push_native::{Auth, p256::SecretKey};

pub struct PushService {
    addr: SocketAddr,
    scheme: &'static str,
    /// The certificate, to be trusted.
    pub ca: Option<PathBuf>,
    shared: Arc<Shared>,
    received: mpsc::UnboundedReceiver<Received>,
    task: JoinHandle<()>,
}

struct Shared {
    answers: Mutex<HashMap<String, Answer>>,
    received: mpsc::UnboundedSender<Received>,
}

/// What the service answers on a path; 201 if nothing else was said.
#[derive(Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    pub after: Duration,
}

impl Answer {
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            after: Duration::ZERO,
        }
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Received {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub at: Instant,
}

impl PushService {
    /// Without TLS.
    pub async fn start() -> Self {
        Self::serve(None, None).await
    }

    /// With TLS, under a certificate of its own for 127.0.0.1 and localhost, which is written into `folder`.
    pub async fn start_tls(folder: &Path) -> Self {
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let path = folder.join("ca.pem");
        std::fs::write(&path, made.cert.pem()).expect("written");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let chain: Vec<CertificateDer<'static>> = vec![made.cert.der().clone()];
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a configuration");
        Self::serve(Some(TlsAcceptor::from(Arc::new(config))), Some(path)).await
    }

    async fn serve(tls: Option<TlsAcceptor>, ca: Option<PathBuf>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let (sender, received) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            answers: Mutex::default(),
            received: sender,
        });
        let scheme = if tls.is_some() { "https" } else { "http" };
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, tls) = (Arc::clone(&serving), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                answer_on(stream, shared).await;
                            }
                        }
                        None => answer_on(stream, shared).await,
                    }
                });
            }
        });
        Self {
            addr,
            scheme,
            ca,
            shared,
            received,
            task,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}://{}/{path}", self.scheme, self.addr)
    }

    pub fn subscribe(&self, path: &str) -> Subscription {
        Subscription::at(self.url(path))
    }

    /// What to answer on a path from now on.
    pub fn answer(&self, path: &str, answer: Answer) {
        let mut answers = self.shared.answers.lock().expect("no panic");
        answers.insert(format!("/{path}"), answer);
    }

    /// The next request, which must come within `limit`.
    pub async fn within(&mut self, limit: Duration) -> Option<Received> {
        tokio::time::timeout(limit, self.received.recv())
            .await
            .ok()
            .flatten()
    }

    pub async fn next(&mut self) -> Received {
        let next = self.within(Duration::from_secs(20)).await;
        next.expect("a request within 20 s")
    }

    /// All that came so far.
    pub fn drain(&mut self) -> Vec<Received> {
        std::iter::from_fn(|| self.received.try_recv().ok()).collect()
    }
}

impl Drop for PushService {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer_on(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    shared: Arc<Shared>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let shared = Arc::clone(&shared);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes());
            let path = head.uri.path().to_owned();
            let answer = {
                let answers = shared.answers.lock().expect("no panic");
                answers.get(&path).cloned()
            };
            let answer = answer.unwrap_or_else(|| Answer::status(201));
            assert_eq!(head.method, "POST");
            let _ = shared.received.send(Received {
                path,
                headers: head.headers,
                body: body.unwrap_or_default(),
                at: Instant::now(),
            });
            tokio::time::sleep(answer.after).await;
            let mut response = Response::new(Full::new(Bytes::from(answer.body)));
            *response.status_mut() = StatusCode::from_u16(answer.status).expect("a status");
            for (name, value) in answer.headers {
                response
                    .headers_mut()
                    .insert(name, value.parse().expect("a header"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new();
    // The node hangs up when it has the head.
    let _ = connection
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// What an app has of a subscription, its private key included.
pub struct Subscription {
    pub endpoint: String,
    secret: SecretKey,
    auth: [u8; 16],
}

impl Subscription {
    pub fn at(endpoint: String) -> Self {
        // Any scalar will do.
        let mut secret = *hash(&endpoint);
        secret[0] = 0;
        Self {
            secret: SecretKey::from_slice(&secret).expect("a scalar"),
            auth: secret[16..].try_into().expect("16 bytes"),
            endpoint,
        }
    }

    pub fn p256dh(&self) -> Vec<u8> {
        self.secret.public_key().to_sec1_bytes().to_vec()
    }

    pub fn auth(&self) -> Vec<u8> {
        self.auth.to_vec()
    }

    pub fn target(&self) -> PushTarget {
        PushTarget::WebPush {
            endpoint: self.endpoint.clone(),
            p256dh: self.p256dh(),
            auth: self.auth(),
        }
    }

    /// Decrypts as the platform does (RFC 8291).
    pub fn open(&self, received: &Received) -> Vec<u8> {
        let header = |name| {
            received
                .headers
                .get(name)
                .map(|value| value.to_str().expect("text"))
        };
        assert_eq!(header("content-encoding"), Some("aes128gcm"));
        let auth = Auth::clone_from_slice(&self.auth);
        web_push_native::decrypt(received.body.to_vec(), &self.secret, &auth).expect("for us")
    }
}

fn hash(text: &str) -> Box<[u8; 32]> {
    Box::new(ailurus::crypto::kdf::sha256(&[text.as_bytes()]))
}

/// Checks the header `Authorization` (RFC 8292) with another library than the node uses, and gives its key and claims.
pub fn verified(received: &Received) -> (Vec<u8>, serde_json::Value) {
    let header = received.headers.get("authorization").expect("signed");
    let header = header.to_str().expect("text");
    let (token, key) = header
        .strip_prefix("vapid t=")
        .and_then(|rest| rest.split_once(", k="))
        .expect("t and k");
    let key = Base64UrlUnpadded::decode_vec(key).expect("base64url");
    let (signed, signature) = token.rsplit_once('.').expect("a signature");
    let signature = Base64UrlUnpadded::decode_vec(signature).expect("base64url");
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &key)
        .verify(signed.as_bytes(), &signature)
        .expect("it verifies");
    let (head, claims) = signed.split_once('.').expect("claims");
    let head = Base64UrlUnpadded::decode_vec(head).expect("base64url");
    assert_eq!(head, br#"{"typ":"JWT","alg":"ES256"}"#);
    let claims = Base64UrlUnpadded::decode_vec(claims).expect("base64url");
    (key, serde_json::from_slice(&claims).expect("JSON"))
}
