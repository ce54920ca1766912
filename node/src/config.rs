//! How a node is set up: a TOML file, overridden by the command line.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use ailurus::net::{DhtMode, ParseDhtModeError};
use hyper::{Uri, http::uri::Scheme};
use serde::{Deserialize, Serialize};

/// Everything a node is told. `node/ailurus-node.toml` explains each key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Directory of key, database and lock; made if missing.
    pub data: PathBuf,
    /// UDP address; with port 0 a port is chosen once and kept in the data directory.
    pub listen: SocketAddr,
    /// Host and port that the node link shows, if not the listen address.
    pub advertise: Option<(String, u16)>,
    /// TCP address of `/metrics` and `/health`; off if `None`.
    pub metrics: Option<SocketAddr>,
    /// The DHT in which the node announces itself and finds its peers.
    pub dht: DhtMode,
    /// The data directory is a restored backup: begin a new generation, so that clients reconcile.
    pub restored: bool,
    /// The clock is right however far it jumped; otherwise nothing is deleted for a while.
    pub trust_clock: bool,
    /// How clients are woken by push.
    pub push: Push,
    /// Caps on what others may use.
    pub limits: Limits,
}

impl Config {
    /// A node in `data` that listens on `listen`, with default limits.
    pub fn new(data: impl Into<PathBuf>, listen: SocketAddr) -> Self {
        Self {
            data: data.into(),
            listen,
            advertise: None,
            metrics: None,
            dht: DhtMode::Off,
            restored: false,
            trust_clock: false,
            push: Push::default(),
            limits: Limits::default(),
        }
    }
}

/// Caps on what others may use, per client, address and node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one IPv4 address or IPv6 /64 network.
    pub connections_per_ip: usize,
    /// Seconds of silence after which a connection is forgotten.
    pub idle_timeout_seconds: u32,
    /// Addresses that one client may lease.
    pub addresses_per_client: u64,
    /// Clients that may hold leases.
    pub registrations: u64,
    /// Of these, clients without an introduction.
    pub strangers: u64,
    /// Clients of one IPv4 /24 or IPv6 /48 at which it may bring no more strangers.
    pub registrations_per_network: u64,
    /// Share of processor time, of all cores over a minute in permille, above which new strangers are refused.
    pub refuse_strangers_above_permille: u32,
    /// Clients that may register through one introduction and those that extend it; invitations have quotas of their own.
    pub clients_per_introduction: u64,
    /// Other super nodes that may hold leases; they do not count as clients.
    pub peers: u64,
    /// Addresses that one other super node may lease.
    pub addresses_per_peer: u64,
    /// Leases of all clients and other super nodes together.
    pub leases: u64,
    /// Of these, leases of other super nodes.
    pub leases_of_peers: u64,
    /// Envelopes and requests a client may send per second, in the long run.
    pub items_per_second: u32,
    /// Envelopes and requests a client may send at once.
    pub items_burst: u32,
    /// Bytes a client may send per second, in the long run.
    pub bytes_per_second: u32,
    /// Bytes a client may send at once.
    pub bytes_burst: u32,
    /// Envelopes and requests that all clients of an IPv4 /24 or IPv6 /48 may send per second, in the long run.
    pub items_per_second_per_network: u32,
    /// Envelopes and requests that they may send at once.
    pub items_burst_per_network: u32,
    /// Bytes that they may send per second, in the long run.
    pub bytes_per_second_per_network: u32,
    /// Bytes that they may send at once.
    pub bytes_burst_per_network: u32,
    /// Polls by datagram that are looked at from an IPv4 /24 or IPv6 /48 per second, in the long run.
    pub probes_per_second_per_network: u32,
    /// Polls by datagram that are looked at from it at once.
    pub probes_burst_per_network: u32,
    /// Clients for which the node keeps in memory what answers their polls by datagram.
    pub probed_clients: u64,
    /// Envelopes kept for one address.
    pub envelopes_per_address: u64,
    /// Bytes of signatures and bodies kept for one address.
    pub bytes_per_address: u64,
    /// Bytes of signatures and bodies kept in all.
    pub bytes: u64,
}

impl Limits {
    /// [`Limits::idle_timeout_seconds`] as a duration.
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.idle_timeout_seconds))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            connections_per_ip: 256,
            idle_timeout_seconds: 600,
            addresses_per_client: 2_048,
            registrations: 1_000_000,
            strangers: 500_000,
            registrations_per_network: 250_000,
            refuse_strangers_above_permille: 800,
            clients_per_introduction: 64,
            peers: 1_000,
            addresses_per_peer: 32_768,
            leases: 50_000_000,
            leases_of_peers: 10_000_000,
            items_per_second: 2_000,
            items_burst: 20_000,
            bytes_per_second: 8 << 20,
            bytes_burst: 64 << 20,
            items_per_second_per_network: 10_000,
            items_burst_per_network: 200_000,
            bytes_per_second_per_network: 64 << 20,
            bytes_burst_per_network: 512 << 20,
            probes_per_second_per_network: 1_000,
            probes_burst_per_network: 10_000,
            probed_clients: 1_000_000,
            envelopes_per_address: 100_000,
            bytes_per_address: 64 << 20,
            bytes: 64 << 30,
        }
    }
}

/// How clients are woken by push: at endpoints of push services that they name, or by the operator's gateway.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Push {
    /// Whether they are.
    pub enabled: bool,
    /// Where push services find the operator: a `mailto:` or `https:` URL. The node's own host if `None`.
    pub contact: Option<String>,
    /// The https URL of a gateway for platforms with one token for an app (FCM, APNs).
    pub gateway: Option<String>,
    /// Requests to one push service per second, in the long run; five times as many at once.
    pub requests_per_second_per_host: u32,
    /// For tests: endpoints and gateway may be on this machine, also without TLS.
    pub test_loopback: bool,
    /// For tests: a PEM file with certificates that are trusted besides the system's.
    pub test_ca: Option<PathBuf>,
    /// For tests: where these names lead, instead of asking the system. What they lead to is checked all the same.
    pub test_hosts: BTreeMap<String, Vec<IpAddr>>,
}

impl Default for Push {
    fn default() -> Self {
        Self {
            enabled: true,
            contact: None,
            gateway: None,
            requests_per_second_per_host: 50,
            test_loopback: false,
            test_ca: None,
            test_hosts: BTreeMap::new(),
        }
    }
}

/// What a node needs of [`Push`], checked.
pub(crate) struct CheckedPush {
    pub(crate) contact: Option<String>,
    pub(crate) gateway: Option<Uri>,
}

impl Push {
    /// Something is set that only tests need.
    pub(crate) fn is_for_tests(&self) -> bool {
        self.test_loopback || self.test_ca.is_some() || !self.test_hosts.is_empty()
    }

    /// Reads the URLs.
    pub(crate) fn check(&self) -> Result<CheckedPush, PushConfigError> {
        if let Some(contact) = &self.contact
            && !["mailto:", "https:"]
                .iter()
                .any(|scheme| contact.starts_with(scheme))
        {
            return Err(PushConfigError::Contact(contact.clone()));
        }
        let gateway = self.gateway.as_deref().map(|text| {
            let bad = || PushConfigError::Gateway(text.to_owned());
            let uri: Uri = text.parse().map_err(|_| bad())?;
            let secure = uri.scheme() == Some(&Scheme::HTTPS);
            let plain = uri.scheme() == Some(&Scheme::HTTP) && self.test_loopback;
            if uri.host().is_some_and(|host| !host.is_empty()) && (secure || plain) {
                Ok(uri)
            } else {
                Err(bad())
            }
        });
        Ok(CheckedPush {
            contact: self.contact.clone(),
            gateway: gateway.transpose()?,
        })
    }
}

/// Why push cannot be configured so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushConfigError {
    /// Not a URL of the operator's.
    #[error(
        "push.contact \"{0}\" is no mailto: or https: URL; write for example mailto:you@example.org"
    )]
    Contact(String),
    /// Not a gateway.
    #[error(
        "push.gateway \"{0}\" is no https URL; write for example https://push.example.org/wake"
    )]
    Gateway(String),
}

/// What a TOML file may say; what it leaves out comes from the command line or the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigFile {
    /// As `--data`.
    pub data: Option<PathBuf>,
    /// As `--listen`.
    pub listen: Option<SocketAddr>,
    /// As `--advertise`.
    pub advertise: Option<String>,
    /// As `--metrics`.
    pub metrics: Option<SocketAddr>,
    /// As `--dht`.
    pub dht: Option<String>,
    /// How clients are woken by push.
    pub push: Push,
    /// Caps on what others may use.
    pub limits: Limits,
}

impl ConfigFile {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, or holds an unknown key or a wrong value.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        toml::from_str(&text).map_err(|source| ConfigError::Parse {
            path: path.to_owned(),
            source: Box::new(source),
        })
    }
}

/// Splits HOST:PORT; an IPv6 address stands in brackets.
///
/// # Errors
/// If there is no host, or no port from 1 to 65535.
pub fn parse_host_port(text: &str) -> Result<(String, u16), ConfigError> {
    let bad = || ConfigError::HostPort(text.to_owned());
    let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
    let port: u16 = port.parse().map_err(|_| bad())?;
    let bracketed = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host = bracketed.unwrap_or(host);
    if host.is_empty() || port == 0 || (bracketed.is_none() && host.contains(':')) {
        return Err(bad());
    }
    Ok((host.to_owned(), port))
}

/// Reads a clock offset such as `8d`, `90m`, `-3h` or `1d12h`, in milliseconds.
///
/// # Errors
/// If it is anything else, or longer than about a century.
pub fn parse_offset(text: &str) -> Result<i64, ConfigError> {
    let bad = || ConfigError::Duration(text.to_owned());
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut total = 0_i64;
    let mut number: Option<i64> = None;
    for character in rest.chars() {
        if let Some(digit) = character.to_digit(10) {
            let so_far = number.unwrap_or(0);
            number = so_far
                .checked_mul(10)
                .and_then(|n| n.checked_add(i64::from(digit)));
            if number.is_none() {
                return Err(bad());
            }
            continue;
        }
        let unit = match character {
            's' => 1_000,
            'm' => 60_000,
            'h' => 3_600_000,
            'd' => 86_400_000,
            _ => return Err(bad()),
        };
        let part = number
            .take()
            .and_then(|n| n.checked_mul(unit))
            .ok_or_else(bad)?;
        total = total.checked_add(part).ok_or_else(bad)?;
    }
    if number.is_some() || rest.is_empty() || total > LONGEST_OFFSET_MS {
        return Err(bad());
    }
    Ok(sign * total)
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "the configuration {path} cannot be read: {source}; check the path given with --config"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not what is expected.
    #[error("the configuration {path} is wrong; correct this and start again: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: Box<toml::de::Error>,
    },
    /// Not HOST:PORT.
    #[error(
        "\"{0}\" is not HOST:PORT; write for example chat.example.org:4433 or [2001:db8::1]:4433"
    )]
    HostPort(String),
    /// Not a DHT.
    #[error(transparent)]
    Dht(#[from] ParseDhtModeError),
    /// Not a duration.
    #[error("\"{0}\" is not a duration; write for example 8d, 90m or -3h")]
    Duration(String),
}

const LONGEST_OFFSET_MS: i64 = 100 * 366 * 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_file_holds_the_defaults() {
        let text = include_str!("../ailurus-node.toml");
        let file: ConfigFile = toml::from_str(text).expect("the example parses");
        assert_eq!(file.limits, Limits::default());
        assert_eq!(file.push, Push::default());
        // Every key is shown, commented out or not.
        for key in [
            "data",
            "listen",
            "advertise",
            "metrics",
            "dht",
            "enabled",
            "contact",
            "gateway",
            "requests_per_second_per_host",
            "test_loopback",
            "test_ca",
            "test_hosts",
        ] {
            assert!(
                text.lines()
                    .any(|line| line.trim_start_matches("# ").starts_with(key))
            );
        }
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        assert!(toml::from_str::<ConfigFile>("lisen = '127.0.0.1:1'").is_err());
        assert!(toml::from_str::<ConfigFile>("[limits]\nconections = 1").is_err());
    }

    #[test]
    fn offsets() {
        assert_eq!(parse_offset("8d").ok(), Some(8 * 86_400_000));
        assert_eq!(parse_offset("-3h").ok(), Some(-3 * 3_600_000));
        assert_eq!(parse_offset("1d12h30m5s").ok(), Some(131_405_000));
        for wrong in [
            "",
            "-",
            "8",
            "d",
            "8 d",
            "1w",
            "99999999999999999999d",
            "40000d",
        ] {
            assert!(parse_offset(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn host_and_port() {
        assert_eq!(
            parse_host_port("a.example:1").ok(),
            Some(("a.example".into(), 1))
        );
        assert_eq!(parse_host_port("[::1]:443").ok(), Some(("::1".into(), 443)));
        for wrong in ["", "a", "a:", ":1", "a:0", "a:65536", "::1:443", "[]:1"] {
            assert!(parse_host_port(wrong).is_err(), "{wrong}");
        }
    }
}
