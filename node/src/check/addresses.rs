//! Where the node listens, and where it says that it is.

use std::net::{IpAddr, TcpListener, UdpSocket};

use ailurus::{channel::NodeLink, crypto::NodeSecret};

use super::Checked;
use crate::{config::Config, identity::Files};

pub(super) fn check(config: &Config, checked: &mut Checked) {
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
    let port = kept.flatten().unwrap_or_else(|| listen.port());
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

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        Severity,
        tests::{config, keys},
    };

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
