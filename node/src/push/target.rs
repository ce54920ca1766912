//! Where a client is to be woken, as it says so.

use std::{fmt, net::IpAddr, sync::Arc};

use ailurus::wire::node::{GatewayPush, WebPush};
use hyper::{Uri, http::uri::Scheme};
use web_push_native::p256;

use super::is_public;
use crate::service::is_local_host;

/// Where a client is to be woken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A subscription at a push service (RFC 8030).
    WebPush(Endpoint),
    /// A token of a platform, for the operator's gateway.
    Gateway { platform: String, token: String },
}

/// A subscription at a push service.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    uri: Uri,
    /// The client's public key and authentication secret (RFC 8291).
    pub(crate) p256dh: [u8; P256DH],
    pub(crate) auth: [u8; AUTH],
}

/// Whose limits apply: the host of a push service, in lower case, or the gateway.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Host(Arc<str>);

/// What a target is in the database.
pub(crate) struct Columns<'a> {
    pub(crate) platform: Option<&'a str>,
    pub(crate) target: String,
    pub(crate) keys: Option<(&'a [u8; P256DH], &'a [u8; AUTH])>,
}

/// Why a target is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetError {
    /// It does not parse.
    Malformed,
    /// It does not lead to a public address by https.
    NotPublic,
}

impl Target {
    /// Reads what a client says. With `loopback` this machine will do, and plain http there: for tests.
    pub(crate) fn web_push(said: &WebPush, loopback: bool) -> Result<Self, TargetError> {
        let p256dh: [u8; P256DH] = said
            .p256dh
            .as_ref()
            .try_into()
            .map_err(|_| TargetError::Malformed)?;
        p256::PublicKey::from_sec1_bytes(&p256dh).map_err(|_| TargetError::Malformed)?;
        let auth = said
            .auth
            .as_ref()
            .try_into()
            .map_err(|_| TargetError::Malformed)?;
        Ok(Self::WebPush(Endpoint {
            uri: parse(&said.endpoint, loopback)?,
            p256dh,
            auth,
        }))
    }

    /// Reads what a client says.
    pub(crate) fn gateway(said: &GatewayPush) -> Result<Self, TargetError> {
        let platform = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
        let good = (1..=MAX_PLATFORM).contains(&said.platform.len())
            && said.platform.bytes().all(platform)
            && (1..=MAX_TOKEN).contains(&said.token.len())
            && said.token.bytes().all(|byte| byte.is_ascii_graphic());
        if !good {
            return Err(TargetError::Malformed);
        }
        Ok(Self::Gateway {
            platform: said.platform.clone(),
            token: said.token.clone(),
        })
    }

    pub(crate) fn to_columns(&self) -> Columns<'_> {
        match self {
            Self::WebPush(endpoint) => Columns {
                platform: None,
                target: endpoint.uri.to_string(),
                keys: Some((&endpoint.p256dh, &endpoint.auth)),
            },
            Self::Gateway { platform, token } => Columns {
                platform: Some(platform),
                target: token.clone(),
                keys: None,
            },
        }
    }

    pub(crate) fn from_columns(
        platform: Option<String>,
        target: String,
        keys: Option<([u8; P256DH], [u8; AUTH])>,
    ) -> Option<Self> {
        match (platform, keys) {
            (Some(platform), _) => Some(Self::Gateway {
                platform,
                token: target,
            }),
            (None, Some((p256dh, auth))) => Some(Self::WebPush(Endpoint {
                uri: target.parse().ok()?,
                p256dh,
                auth,
            })),
            (None, None) => None,
        }
    }

    /// Whose limits apply.
    pub(crate) fn host(&self) -> Host {
        match self {
            Self::WebPush(endpoint) => Host(endpoint.host().to_ascii_lowercase().into()),
            Self::Gateway { .. } => Host::gateway(),
        }
    }
}

impl Endpoint {
    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The host, without the brackets of an IPv6 address.
    pub(crate) fn host(&self) -> &str {
        bare(self.uri.host().unwrap_or_default())
    }
}

impl Host {
    /// The operator's gateway, whatever its name is.
    pub(crate) fn gateway() -> Self {
        Self("gateway:".into())
    }

    #[cfg(test)]
    pub(super) fn named(name: &str) -> Self {
        Self(name.into())
    }
}

/// Whoever has an endpoint can wake its client.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.host())
    }
}

/// An IPv6 address without its brackets.
pub(crate) fn bare(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
}

fn parse(endpoint: &str, loopback: bool) -> Result<Uri, TargetError> {
    if endpoint.len() > MAX_ENDPOINT || endpoint.contains('#') {
        return Err(TargetError::Malformed);
    }
    let uri: Uri = endpoint.parse().map_err(|_| TargetError::Malformed)?;
    let (Some(_), Some(authority)) = (uri.scheme(), uri.authority()) else {
        return Err(TargetError::Malformed);
    };
    let host = bare(authority.host());
    // A port that is there must be one.
    let port = authority
        .as_str()
        .rsplit_once(':')
        .filter(|(_, port)| !port.ends_with(']'));
    let wrong_port = port.is_some() && authority.port_u16().is_none_or(|port| port == 0);
    if host.is_empty() || wrong_port || authority.as_str().contains('@') {
        return Err(TargetError::Malformed);
    }
    let ip: Option<IpAddr> = host.parse().ok();
    let here = loopback && ip.map_or(host == "localhost", |ip| ip.is_loopback());
    let public = match ip {
        Some(ip) => is_public(ip),
        // What looks like a number may be read as an address, such as 0x7f.1.
        None => !is_local_host(host) && !ends_in_number(host),
    };
    let secure = uri.scheme() == Some(&Scheme::HTTPS);
    let plain = uri.scheme() == Some(&Scheme::HTTP);
    if (secure && public) || (here && (secure || plain)) {
        return Ok(uri);
    }
    Err(TargetError::NotPublic)
}

fn ends_in_number(host: &str) -> bool {
    let last = host.trim_end_matches('.').rsplit('.').next();
    last.is_none_or(|last| last.bytes().next().is_none_or(|byte| byte.is_ascii_digit()))
}

const P256DH: usize = 65;
const AUTH: usize = 16;
const MAX_ENDPOINT: usize = 1_024;
const MAX_PLATFORM: usize = 32;
const MAX_TOKEN: usize = 4_096;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// The example of RFC 8291, appendix A.
    const P256DH_OF_RFC: &str = "042571b2becdfde360551aaf1ed0f4cd366c11cebe555f89bcb7b186a53339173168ece2ebe018597bd30479b86e3c8f8eced577ca59187e9246990db682008b0e";

    fn read(endpoint: &str, loopback: bool) -> Result<Target, TargetError> {
        let said = WebPush {
            endpoint: endpoint.to_owned(),
            p256dh: Bytes::from(hex::decode(P256DH_OF_RFC).expect("hex")),
            auth: Bytes::from_static(&[1; 16]),
        };
        Target::web_push(&said, loopback)
    }

    #[test]
    fn endpoints_are_https_and_public() {
        for good in [
            "https://push.example.net/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV",
            "https://push.example.net:8443/a?b=c",
            "https://1.1.1.1/x",
            "https://[2606:4700::1111]:444/x",
            "https://PUSH.example.net",
        ] {
            let target = read(good, false).expect(good);
            let columns = target.to_columns();
            let keys = columns.keys.map(|(a, b)| (*a, *b));
            let again = Target::from_columns(None, columns.target, keys).expect("a target");
            assert_eq!(again, target);
        }
        for private in [
            "http://push.example.net/",
            "ftp://push.example.net/",
            "https://127.0.0.1/",
            "https://10.0.0.1/",
            "https://192.168.1.1:8443/",
            "https://169.254.169.254/latest/meta-data",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[fd00::1]/",
            "https://localhost/",
            "https://router.local/",
            "https://metadata.internal/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0x7f.1/",
            "https://127.1/",
        ] {
            assert_eq!(
                read(private, false),
                Err(TargetError::NotPublic),
                "{private}"
            );
        }
        let long = format!("https://push.example.net/{}", "a".repeat(1_000));
        for wrong in [
            "",
            "push.example.net",
            "/path",
            "https://",
            "https:///path",
            "https://user:secret@push.example.net/",
            "https://push.example.net/#fragment",
            "https://push.example.net:0/",
            "https://push.example.net:99999/",
            "https://push example.net/",
            &long,
        ] {
            assert_eq!(read(wrong, false), Err(TargetError::Malformed), "{wrong}");
        }
    }

    #[test]
    fn only_a_test_reaches_this_machine() {
        for here in [
            "http://127.0.0.1:8080/x",
            "https://[::1]/x",
            "https://localhost:1/x",
        ] {
            assert!(read(here, true).is_ok(), "{here}");
            assert!(read(here, false).is_err(), "{here}");
        }
        for other in ["http://push.example.net/x", "https://10.0.0.1/x"] {
            assert_eq!(read(other, true), Err(TargetError::NotPublic), "{other}");
        }
    }

    #[test]
    fn keys_are_points_and_tokens_are_text() {
        let mut said = WebPush {
            endpoint: "https://push.example.net/x".to_owned(),
            p256dh: Bytes::from_static(&[4; 65]),
            auth: Bytes::from_static(&[1; 16]),
        };
        assert_eq!(Target::web_push(&said, false), Err(TargetError::Malformed));
        said.p256dh = Bytes::from(hex::decode(P256DH_OF_RFC).expect("hex"));
        assert!(Target::web_push(&said, false).is_ok());
        said.auth = Bytes::from_static(&[1; 15]);
        assert_eq!(Target::web_push(&said, false), Err(TargetError::Malformed));

        let token = |platform: &str, token: &str| {
            Target::gateway(&GatewayPush {
                platform: platform.to_owned(),
                token: token.to_owned(),
            })
        };
        assert!(token("fcm", "abc:DEF-123").is_ok());
        for (platform, value) in [
            ("", "a"),
            ("FCM", "a"),
            ("fcm", ""),
            ("fcm", "a b"),
            ("fcm", "ä"),
            (&"a".repeat(33), "a"),
            ("fcm", &"a".repeat(4_097)),
        ] {
            assert_eq!(token(platform, value), Err(TargetError::Malformed));
        }
    }
}
