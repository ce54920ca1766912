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
        if ip.is_loopback() {
            return None;
        }
        Some(match ip {
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
        })
    }

    /// What tells it from others.
    pub(crate) fn to_bytes(self) -> [u8; 7] {
        let [a, b, c, d, e, f] = self.prefix;
        [u8::from(self.six), a, b, c, d, e, f]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
