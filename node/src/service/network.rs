//! Where a client comes from, as far as limits care.

use std::net::IpAddr;

/// An IPv4 /24 or an IPv6 /48: about what one customer, school or attacker has for little money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    six: bool,
    prefix: [u8; 6],
}

impl Network {
    /// The network of an address; IPv4 addresses that are written as IPv6 count as IPv4. None of this machine itself: a
    /// proxy on it stands for everybody.
    pub fn of(ip: IpAddr) -> Option<Self> {
        let ip = ip.to_canonical();
        (!ip.is_loopback()).then(|| Self::around(ip))
    }

    /// The network of an address, also of one of this machine.
    pub(crate) fn around(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                Self {
                    six: false,
                    prefix: [a, b, c, 0, 0, 0],
                }
            }
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, ..] = ip.octets();
                Self {
                    six: true,
                    prefix: [a, b, c, d, e, f],
                }
            }
        }
    }

    /// What tells it from others.
    pub(crate) fn to_bytes(self) -> [u8; 7] {
        let [a, b, c, d, e, f] = self.prefix;
        [u8::from(self.six), a, b, c, d, e, f]
    }
}

/// Whether an address is one that a stranger has no business to send this node to: of this machine, of the network it
/// stands in, or of nobody in particular.
pub(crate) fn is_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let shared = a == 100 && b & 0xc0 == 64;
            a == 0
                || shared
                || ip.is_loopback()
                || ip.is_private()
                || ip.is_link_local()
                || ip.is_multicast()
                || ip.is_broadcast()
        }
        IpAddr::V6(ip) => {
            ip.is_unspecified()
                || ip.is_loopback()
                || ip.is_unique_local()
                || ip.is_unicast_link_local()
                || ip.is_multicast()
        }
    }
}

/// The same for a host as it stands in a link; a name says it only if it is one of this machine or its network.
pub(crate) fn is_local_host(host: &str) -> bool {
    if let Ok(ip) = host.parse() {
        return is_local(ip);
    }
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let ends = |end: &str| name == end || name.ends_with(&format!(".{end}"));
    ["localhost", "local", "internal"].into_iter().any(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_of_the_whole_internet_is_local() {
        for local in [
            "127.0.0.1",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "::",
            "::1",
            "fe80::1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "localhost",
            "Router.Local.",
        ] {
            assert!(is_local_host(local), "{local}");
        }
        for other in [
            "192.0.2.1",
            "172.32.0.1",
            "100.128.0.1",
            "2001:db8::1",
            "node.example.org",
            "mylocal",
        ] {
            assert!(!is_local_host(other), "{other}");
        }
    }

    #[test]
    fn neighbours_share_a_network() {
        let of = |ip: &str| Network::of(ip.parse().expect("an address"));
        assert_eq!((of("127.0.0.1"), of("::1")), (None, None));
        assert_eq!(of("192.0.2.1"), of("192.0.2.254"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.7"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
        assert_eq!(of("2001:db8:1::1"), of("2001:db8:1:ffff::2"));
        assert_ne!(of("2001:db8:1::1"), of("2001:db8:2::1"));
        assert_ne!(of("1.2.3.4"), of("102:300::"));
    }
}
