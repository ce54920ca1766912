//! TLS 1.3 with raw public keys on both sides (RFC 7250, RFC 8446).
//!
//! A raw key has no name, no validity and no issuer: the client compares the node's key with the
//! pinned one, the node takes whatever key the client proves as its pseudonym. rustls keeps the
//! client's key in the session, so a resumed connection has the pseudonym of the first one.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, NamedGroup,
    ServerConfig, SignatureScheme,
    client::{
        AlwaysResolvesClientRawPublicKeys, ClientSessionStore, Resumption, Tls12ClientSessionValue,
        Tls13ClientSessionValue,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{
        CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, WebPkiSupportedAlgorithms,
        ring, verify_tls13_signature_with_raw_key,
    },
    pki_types::{
        CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer,
        UnixTime,
    },
    server::{
        AlwaysResolvesServerRawPublicKeys, ServerSessionMemoryCache,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::{CertifiedKey, SigningKey},
};
use tokio::sync::Notify;

use crate::crypto::{NodeKey, NodeSecret, PseudonymSecret};

/// The application protocol both sides must speak (RFC 7301).
const ALPN: &[u8] = b"ailurus/1";

/// DER of an Ed25519 SubjectPublicKeyInfo up to the key (RFC 8410 section 4).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Tickets a dialer keeps: the newest, and one more for a second connection.
const TICKETS: usize = 2;

/// TLS's alert access_denied (RFC 8446 section 6), which stands for a failed pin.
const ACCESS_DENIED: u8 = 49;

/// The transport error with which our own side ends a handshake whose pin failed.
pub(super) fn pin_failure() -> quinn::TransportErrorCode {
    quinn::TransportErrorCode::crypto(ACCESS_DENIED)
}

/// TLS for a node: proves `secret`, demands a pseudonym, remembers `sessions` sessions.
pub(super) fn server_config(
    secret: &NodeSecret,
    sessions: usize,
) -> Result<QuicServerConfig, Error> {
    let provider = provider();
    let identity = identity(
        &provider,
        secret.public().as_bytes(),
        &secret.to_pkcs8_der(),
    )?;
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(AnyPseudonym {
            algorithms: provider.signature_verification_algorithms,
        }))
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(identity)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    // Early data needs sessions kept here: each can be used once, so a replay finds none.
    config.session_storage = ServerSessionMemoryCache::new(sessions);
    config.max_early_data_size = u32::MAX;
    config.send_tls13_tickets = 1;
    QuicServerConfig::try_from(config).map_err(|_| no_initial_suite())
}

/// TLS for connections to one node under one pseudonym.
pub(super) fn client_config(
    secret: &PseudonymSecret,
    node: NodeKey,
    tickets: Arc<TicketStore>,
) -> Result<QuicClientConfig, Error> {
    let provider = provider();
    let identity = identity(
        &provider,
        secret.public().as_bytes(),
        &secret.to_pkcs8_der(),
    )?;
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PinnedNode {
            node,
            algorithms: provider.signature_verification_algorithms,
        }))
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(identity)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.enable_sni = false;
    config.enable_early_data = true;
    config.resumption = Resumption::store(tickets);
    QuicClientConfig::try_from(config).map_err(|_| no_initial_suite())
}

/// The Ed25519 key that the peer proved, from what quinn calls its identity.
pub(super) fn peer_key(connection: &quinn::Connection) -> Option<[u8; 32]> {
    let chain = connection
        .peer_identity()?
        .downcast::<Vec<CertificateDer<'static>>>()
        .ok()?;
    ed25519_key(chain.first()?)
}

/// Exactly what is spoken here, by `ring`: one key exchange, two suites and Ed25519. There is nothing to negotiate, the
/// ClientHello is small, and no other curve and no RSA is linked into a phone's library.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
            ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![ring::kx_group::X25519],
        signature_verification_algorithms: ED25519,
        secure_random: &Ring,
        key_provider: &Ring,
    })
}

static ED25519: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[webpki::ring::ED25519],
    mapping: &[(SignatureScheme::ED25519, &[webpki::ring::ED25519])],
};

#[derive(Debug)]
struct Ring;

impl SecureRandom for Ring {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        use ::ring::rand::SecureRandom as _;

        ::ring::rand::SystemRandom::new()
            .fill(bytes)
            .map_err(|_| GetRandomFailed)
    }
}

impl KeyProvider for Ring {
    fn load_private_key(&self, key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        match key {
            PrivateKeyDer::Pkcs8(key) => ring::sign::any_eddsa_type(&key),
            _ => Err(Error::General("only PKCS#8 keys are used here".into())),
        }
    }
}

fn no_initial_suite() -> Error {
    Error::General("the provider lacks AES-128-GCM, which QUIC needs".into())
}

fn identity(
    provider: &CryptoProvider,
    public: &[u8; 32],
    pkcs8: &[u8],
) -> Result<Arc<CertifiedKey>, Error> {
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8)).clone_key();
    let key = provider.key_provider.load_private_key(der)?;
    let mut spki = SPKI_PREFIX.to_vec();
    spki.extend_from_slice(public);
    Ok(Arc::new(CertifiedKey::new(
        vec![CertificateDer::from(spki)],
        key,
    )))
}

fn ed25519_key(spki: &[u8]) -> Option<[u8; 32]> {
    spki.strip_prefix(&SPKI_PREFIX)?.try_into().ok()
}

/// Accepts exactly the pinned node.
#[derive(Debug)]
struct PinnedNode {
    node: NodeKey,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for PinnedNode {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if ed25519_key(end_entity).as_ref() != Some(self.node.as_bytes()) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken here".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let spki = SubjectPublicKeyInfoDer::from(cert.as_ref());
        verify_tls13_signature_with_raw_key(message, &spki, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// Accepts any Ed25519 key as a pseudonym: who may do what is decided above TLS.
#[derive(Debug)]
struct AnyPseudonym {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for AnyPseudonym {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if ed25519_key(end_entity).is_none() {
            return Err(CertificateError::BadEncoding.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken here".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let spki = SubjectPublicKeyInfoDer::from(cert.as_ref());
        verify_tls13_signature_with_raw_key(message, &spki, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// The newest tickets of one dialer, in memory only; each is used once (RFC 8446 appendix C.4).
pub(super) struct TicketStore {
    tickets: Mutex<VecDeque<Tls13ClientSessionValue>>,
    arrived: Notify,
}

impl TicketStore {
    pub(super) fn new() -> Self {
        Self {
            tickets: Mutex::new(VecDeque::with_capacity(TICKETS)),
            arrived: Notify::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Resolves as soon as there is a ticket.
    pub(super) async fn filled(&self) {
        loop {
            let arrived = self.arrived.notified();
            if !self.is_empty() {
                return;
            }
            arrived.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Tls13ClientSessionValue>> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for TicketStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketStore").finish_non_exhaustive()
    }
}

impl ClientSessionStore for TicketStore {
    fn set_kx_hint(&self, _server_name: ServerName<'static>, _group: NamedGroup) {}

    fn kx_hint(&self, _server_name: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(
        &self,
        _server_name: ServerName<'static>,
        _value: Tls12ClientSessionValue,
    ) {
    }

    fn tls12_session(&self, _server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _server_name: &ServerName<'static>) {}

    fn insert_tls13_ticket(
        &self,
        _server_name: ServerName<'static>,
        value: Tls13ClientSessionValue,
    ) {
        let mut tickets = self.lock();
        while tickets.len() >= TICKETS {
            tickets.pop_front();
        }
        tickets.push_back(value);
        drop(tickets);
        self.arrived.notify_waiters();
    }

    fn take_tls13_ticket(
        &self,
        _server_name: &ServerName<'static>,
    ) -> Option<Tls13ClientSessionValue> {
        self.lock().pop_back()
    }
}
