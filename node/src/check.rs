//! Whether a node would start with a configuration, and what its operator should know of it.

use std::{
    fmt, fs, io,
    net::{IpAddr, TcpListener, UdpSocket},
    path::Path,
};

use ailurus::{channel::NodeLink, crypto::NodeSecret, wire::limits::MAX_FRAME};

use crate::{
    config::{Config, Limits},
    identity::Files,
};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The node works, though perhaps not as meant.
    Warning,
    /// The node would not start, or would serve nobody.
    Error,
}

/// Something about a setting that its operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The key as it is called in the file, such as `limits.bytes`.
    pub key: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// One sentence that says what to do.
    pub text: String,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// The worst first.
    pub findings: Vec<Finding>,
    /// A node runs with this data directory now, so its ports were not tried.
    pub running: bool,
    /// Bytes that this user may still write on the disk of the data directory, if the system says.
    pub disk_free: Option<u64>,
}

impl Checked {
    /// Whether the node would start.
    pub fn is_ok(&self) -> bool {
        self.findings
            .iter()
            .all(|finding| finding.severity != Severity::Error)
    }

    fn error(&mut self, key: &'static str, text: impl fmt::Display) {
        self.add(key, Severity::Error, text);
    }

    fn warn(&mut self, key: &'static str, text: impl fmt::Display) {
        self.add(key, Severity::Warning, text);
    }

    fn add(&mut self, key: &'static str, severity: Severity, text: impl fmt::Display) {
        self.findings.push(Finding {
            key,
            severity,
            text: text.to_string(),
        });
    }
}

/// Looks at every setting, at the data directory and whether the ports are free. Changes nothing: a directory that is
/// not there yet is not made.
pub fn check(config: &Config) -> Checked {
    let mut checked = Checked {
        running: Files(&config.data).in_use(),
        disk_free: disk_free(&config.data),
        ..Checked::default()
    };
    check_data(config, &mut checked);
    check_addresses(config, &mut checked);
    check_limits(&config.limits, &mut checked);
    check_disk(config, &mut checked);
    checked
        .findings
        .sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    checked
}

/// Bytes that this user may still write beside `path`, which need not exist yet.
pub(crate) fn disk_free(path: &Path) -> Option<u64> {
    let there = path.ancestors().find(|path| path.exists());
    let there = there.unwrap_or_else(|| Path::new("."));
    let found = rustix::fs::statvfs(there).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

fn check_data(config: &Config, checked: &mut Checked) {
    let dir = &config.data;
    let shown = dir.display();
    if !dir.exists() {
        // Made at the first start, if the nearest directory that is there lets us.
        let parent = dir.ancestors().skip(1).find(|path| path.exists());
        let parent = parent.filter(|path| !path.as_os_str().is_empty());
        let parent = parent.unwrap_or_else(|| Path::new("."));
        if let Err(error) = writable(parent) {
            checked.error(
                "data",
                format_args!(
                    "{shown} cannot be made in {}: {error}; make it and give it to the node's user",
                    parent.display()
                ),
            );
        }
        return;
    }
    if !dir.is_dir() {
        checked.error(
            "data",
            format_args!("{shown} is no directory; choose another path"),
        );
        return;
    }
    if let Err(error) = writable(dir) {
        checked.error(
            "data",
            format_args!("{shown} cannot be written: {error}; give it to the node's user"),
        );
    }
    let files = Files(dir);
    match files.key() {
        Ok(Some(_)) => {}
        Ok(None) if files.database().exists() => checked.warn(
            "data",
            format_args!(
                "{shown} holds a database and no node key, so the node would get a new identity; restore its backup \
                 if it had another"
            ),
        ),
        Ok(None) => {}
        Err(error) => checked.error("data", error),
    }
    if let Err(error) = files.port() {
        checked.error("data", error);
    }
}

fn check_addresses(config: &Config, checked: &mut Checked) {
    let listen = config.listen;
    if listen.ip().is_unspecified() && config.advertise.is_none() {
        checked.error(
            "advertise",
            format_args!(
                "{listen} is a wildcard, which nobody can dial; say where clients reach this node, such as \
                 chat.example.org:4433"
            ),
        );
    }
    if let Some((host, port)) = &config.advertise {
        check_advertised(host, *port, checked);
    } else if listen.ip().is_loopback() {
        checked.warn(
            "listen",
            format_args!(
                "{listen} is reached from this machine only; listen on 0.0.0.0 and advertise a name"
            ),
        );
    }
    if let Some(metrics) = config.metrics
        && !metrics.ip().is_loopback()
        && !is_private(metrics.ip())
    {
        checked.warn(
            "metrics",
            format_args!(
                "{metrics} may be reached by anybody; listen on 127.0.0.1 or an inner network"
            ),
        );
    }
    if checked.running {
        return;
    }
    let kept = (listen.port() == 0).then(|| Files(&config.data).port().ok().flatten());
    let port = kept.flatten().unwrap_or(listen.port());
    if let Err(error) = UdpSocket::bind((listen.ip(), port)) {
        checked.error(
            "listen",
            format_args!(
                "UDP port {port} of {} cannot be bound: {error}; free it or choose another",
                listen.ip()
            ),
        );
    }
    if let Some(metrics) = config.metrics
        && let Err(error) = TcpListener::bind(metrics)
    {
        checked.error(
            "metrics",
            format_args!("{metrics} cannot be bound: {error}; choose a free address"),
        );
    }
}

fn check_advertised(host: &str, port: u16, checked: &mut Checked) {
    // Any key will do to see whether the address fits a link.
    let key = NodeSecret::from_bytes([1; 32]).public();
    if let Err(error) = NodeLink::new(key, host, port) {
        checked.error("advertise", error);
        return;
    }
    match host.parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() => checked.error(
            "advertise",
            format_args!(
                "{ip} is a wildcard, which nobody can dial; write the node's own name or address"
            ),
        ),
        Ok(ip) if ip.is_loopback() || is_private(ip) => checked.warn(
            "advertise",
            format_args!(
                "{ip} is reached from this machine or network only; write a public name or address"
            ),
        ),
        Ok(_) => {}
        Err(_) if host.contains(':') || host.ends_with('.') || host.starts_with(['.', '-']) => {
            checked.error(
                "advertise",
                format_args!("{host:?} is neither a host name nor an address; write for example chat.example.org"),
            );
        }
        Err(_) if !host.contains('.') && host != "localhost" => checked.warn(
            "advertise",
            format_args!(
                "{host:?} has no domain, so other networks do not know it; write the whole name"
            ),
        ),
        Err(_) => {}
    }
}

fn check_limits(limits: &Limits, checked: &mut Checked) {
    let zero = [
        ("limits.connections", limits.connections as u64),
        (
            "limits.connections_per_ip",
            limits.connections_per_ip as u64,
        ),
        ("limits.addresses_per_client", limits.addresses_per_client),
        ("limits.registrations", limits.registrations),
        (
            "limits.items_per_second",
            u64::from(limits.items_per_second),
        ),
        (
            "limits.bytes_per_second",
            u64::from(limits.bytes_per_second),
        ),
        ("limits.envelopes_per_address", limits.envelopes_per_address),
        ("limits.bytes_per_address", limits.bytes_per_address),
        ("limits.bytes", limits.bytes),
    ];
    for (key, value) in zero {
        if value == 0 {
            checked.error(
                key,
                format_args!("{key} is 0, so the node would serve nobody; raise it"),
            );
        }
    }
    if limits.idle_timeout_seconds < SHORTEST_IDLE_S {
        checked.error(
            "limits.idle_timeout_seconds",
            format_args!(
                "connections would end after {} s of silence, in the middle of what phones do; allow {SHORTEST_IDLE_S} \
                 or more",
                limits.idle_timeout_seconds
            ),
        );
    }
    if limits.connections_per_ip > limits.connections {
        checked.warn(
            "limits.connections_per_ip",
            "one address may use more connections than there are; lower it below limits.connections",
        );
    }
    if limits.items_burst < limits.items_per_second {
        checked.error(
            "limits.items_burst",
            "items_burst is below items_per_second, which could never be reached; raise it",
        );
    }
    if limits.bytes_burst < limits.bytes_per_second {
        checked.error(
            "limits.bytes_burst",
            "bytes_burst is below bytes_per_second, which could never be reached; raise it",
        );
    }
    // A request that is larger than the burst is refused for ever.
    if (limits.bytes_burst as usize) < MAX_FRAME {
        checked.error(
            "limits.bytes_burst",
            format_args!("the largest request has {MAX_FRAME} bytes and would never pass; allow that many at once"),
        );
    }
    if limits.bytes_per_address > limits.bytes {
        checked.error(
            "limits.bytes_per_address",
            "one address may keep more than the node; lower it below limits.bytes",
        );
    }
    if limits.addresses_per_client < FEWEST_ADDRESSES {
        checked.warn(
            "limits.addresses_per_client",
            format_args!(
                "each channel takes two or three addresses; allow {FEWEST_ADDRESSES} or more"
            ),
        );
    }
}

fn check_disk(config: &Config, checked: &mut Checked) {
    let Some(free) = checked.disk_free else {
        return;
    };
    let used = fs::metadata(Files(&config.data).database()).map_or(0, |found| found.len());
    let room = free.saturating_add(used);
    // The database is larger than what it keeps by about a third.
    let needed = config.limits.bytes.saturating_add(config.limits.bytes / 3);
    if room < needed {
        checked.warn(
            "limits.bytes",
            format_args!(
                "the database may grow to about {} MiB and has room for {} MiB; lower limits.bytes to {} or get a \
                 larger disk",
                needed >> 20,
                room >> 20,
                room / 4 * 3
            ),
        );
    }
}

/// Makes a file and takes it away again, which is the only test that file systems agree on.
fn writable(dir: &Path) -> io::Result<()> {
    let probe = dir.join(format!(".ailurus-node-check-{}", std::process::id()));
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&probe)?;
    fs::remove_file(&probe)
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// Shorter than a slow handshake and a lost packet or two.
const SHORTEST_IDLE_S: u32 = 30;
/// One channel around the turn of an epoch.
const FEWEST_ADDRESSES: u64 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn config(dir: &Path) -> Config {
        let mut config = Config::new(dir.join("node"), "127.0.0.1:0".parse().expect("an address"));
        config.advertise = Some(("chat.example.org".to_owned(), 4433));
        // Whatever the disk of this machine is.
        config.limits.bytes = 1 << 20;
        config.limits.bytes_per_address = 1 << 20;
        config
    }

    fn keys(config: &Config, severity: Severity) -> Vec<&'static str> {
        let findings = check(config).findings;
        let found = findings.iter().filter(|f| f.severity == severity);
        found.map(|finding| finding.key).collect()
    }

    #[test]
    fn a_plain_configuration_is_fine_and_nothing_is_made() {
        let dir = tempfile::tempdir().expect("a directory");
        let checked = check(&config(dir.path()));
        assert_eq!(checked.findings, []);
        assert!(checked.is_ok() && !checked.running);
        assert_eq!(fs::read_dir(dir.path()).expect("read").count(), 0);
    }

    #[test]
    fn every_mistake_in_the_limits_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let mistakes: [(&str, fn(&mut Limits)); 13] = [
            ("limits.connections", |l| l.connections = 0),
            ("limits.connections_per_ip", |l| l.connections_per_ip = 0),
            ("limits.idle_timeout_seconds", |l| {
                l.idle_timeout_seconds = 29
            }),
            ("limits.addresses_per_client", |l| {
                l.addresses_per_client = 0
            }),
            ("limits.registrations", |l| l.registrations = 0),
            ("limits.items_per_second", |l| l.items_per_second = 0),
            ("limits.items_burst", |l| l.items_burst = 1),
            ("limits.bytes_per_second", |l| l.bytes_per_second = 0),
            ("limits.bytes_burst", |l| {
                l.bytes_burst = l.bytes_per_second - 1
            }),
            ("limits.envelopes_per_address", |l| {
                l.envelopes_per_address = 0
            }),
            ("limits.bytes_per_address", |l| l.bytes_per_address = 0),
            ("limits.bytes_per_address", |l| l.bytes = 1),
            ("limits.bytes", |l| (l.bytes, l.bytes_per_address) = (0, 0)),
        ];
        for (key, make) in mistakes {
            let mut config = config(dir.path());
            make(&mut config.limits);
            assert!(keys(&config, Severity::Error).contains(&key), "{key}");
        }
        let mut small = config(dir.path());
        small.limits.bytes_per_second = 10;
        small.limits.bytes_burst = 10;
        assert_eq!(keys(&small, Severity::Error), ["limits.bytes_burst"]);
        let mut large = config(dir.path());
        large.limits.bytes = u64::MAX / 2;
        assert_eq!(keys(&large, Severity::Warning), ["limits.bytes"]);
    }

    #[test]
    fn addresses_that_nobody_can_dial_are_named() {
        let dir = tempfile::tempdir().expect("a directory");
        for (host, severity) in [
            ("0.0.0.0", Severity::Error),
            ("a:b", Severity::Error),
            ("-a.example", Severity::Error),
            ("a b", Severity::Error),
            ("127.0.0.1", Severity::Warning),
            ("10.1.2.3", Severity::Warning),
            ("fd00::1", Severity::Warning),
            ("node", Severity::Warning),
        ] {
            let mut config = config(dir.path());
            config.advertise = Some((host.to_owned(), 1));
            assert_eq!(keys(&config, severity), ["advertise"], "{host}");
        }
        let mut wildcard = config(dir.path());
        wildcard.listen = "0.0.0.0:0".parse().expect("an address");
        wildcard.advertise = None;
        assert_eq!(keys(&wildcard, Severity::Error), ["advertise"]);
        let mut open = config(dir.path());
        open.metrics = Some("0.0.0.0:0".parse().expect("an address"));
        assert_eq!(keys(&open, Severity::Warning), ["metrics"]);
    }
}
