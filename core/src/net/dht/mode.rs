//! Whether the DHT is used, and by which nodes it is entered.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use super::DhtError;

/// Which DHT is used: `off`, `public`, or `HOST:PORT,…` of nodes to enter it by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DhtMode {
    /// None.
    #[default]
    Off,
    /// The public mainline DHT, entered by its well-known nodes.
    Public,
    /// The DHT of these nodes, each `HOST:PORT`.
    Bootstrap(Vec<String>),
}

impl DhtMode {
    /// Whether the DHT is to be used at all.
    pub fn is_on(&self) -> bool {
        *self != Self::Off
    }

    /// Whether this build can use it.
    ///
    /// # Errors
    /// [`DhtError::NotBuilt`] if it is on and the cargo feature `dht` is missing.
    pub fn check_built(&self) -> Result<(), DhtError> {
        if self.is_on() && !cfg!(feature = "dht") {
            return Err(DhtError::NotBuilt);
        }
        Ok(())
    }
}

impl FromStr for DhtMode {
    type Err = ParseDhtModeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "off" => return Ok(Self::Off),
            "public" => return Ok(Self::Public),
            _ => {}
        }
        let nodes: Vec<String> = text.split(',').map(|node| node.trim().to_owned()).collect();
        match nodes.iter().find(|node| !names_node(node)) {
            Some(wrong) => Err(ParseDhtModeError(wrong.clone())),
            None => Ok(Self::Bootstrap(nodes)),
        }
    }
}

impl fmt::Display for DhtMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Public => f.write_str("public"),
            Self::Bootstrap(nodes) => f.write_str(&nodes.join(",")),
        }
    }
}

/// The text names no DHT.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" names no DHT: write \"off\", \"public\", or HOST:PORT of the nodes to enter it by, with IPv4 addresses or names, separated by commas"
)]
pub struct ParseDhtModeError(String);

/// A name or an IPv4 address with a port: the engine speaks IPv4 only.
fn names_node(node: &str) -> bool {
    let Some((host, port)) = node.rsplit_once(':') else {
        return false;
    };
    let digits_and_dots = host
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let host_fits = if digits_and_dots {
        host.parse::<Ipv4Addr>().is_ok()
    } else {
        host.parse::<Ipv6Addr>().is_err()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
    };
    host_fits && port.parse::<u16>().is_ok_and(|port| port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read_back_as_they_are_written() {
        let nodes = ["router.example:6881", "192.0.2.1:49001"].map(str::to_owned);
        for mode in [
            DhtMode::Off,
            DhtMode::Public,
            DhtMode::Bootstrap(nodes.into()),
        ] {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        assert_eq!(
            " a.example:1 , b.example:2 ".parse(),
            Ok(DhtMode::Bootstrap(vec![
                "a.example:1".into(),
                "b.example:2".into()
            ]))
        );
        assert!(!DhtMode::default().is_on());
        assert!(DhtMode::Public.is_on());
        assert!(DhtMode::Off.check_built().is_ok());
        assert_eq!(DhtMode::Public.check_built().is_ok(), cfg!(feature = "dht"));
    }

    #[test]
    fn text_that_names_no_dht_is_refused_by_the_part_that_is_wrong() {
        for wrong in [
            "",
            "on",
            "Public",
            "router.example",
            ":6881",
            "router.example:0",
            "router.example:65536",
            "1.2.3:5",
            "[::1]:6881",
            "::1:6881",
            "a b:1",
        ] {
            assert_eq!(
                wrong.parse::<DhtMode>(),
                Err(ParseDhtModeError(wrong.into()))
            );
        }
        let error = "a.example:1,,b.example:2".parse::<DhtMode>().unwrap_err();
        assert_eq!(error, ParseDhtModeError(String::new()));
    }
}
