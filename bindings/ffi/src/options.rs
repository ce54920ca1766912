//! How a client runs.

use ailurus::client as core;

/// How a client runs; the usual is right for most apps.
#[derive(Default, uniffi::Record)]
pub struct Options {
    /// In which DHT super nodes are looked for when all that are known are lost; in none unless told. A build of this
    /// library without the cargo feature `dht` fails with `BadInput` if one is given.
    #[uniffi(default = None)]
    pub dht: Option<DhtMode>,
}

/// Which DHT is used.
#[derive(uniffi::Enum)]
pub enum DhtMode {
    /// The public mainline DHT of BitTorrent, entered by its well-known nodes.
    Public,
    /// The DHT of these nodes.
    Bootstrap {
        /// Each as `HOST:PORT`.
        nodes: Vec<String>,
    },
}

impl From<Options> for core::Options {
    fn from(options: Options) -> Self {
        Self {
            dht: options.dht.map_or(core::DhtMode::Off, core::DhtMode::from),
            ..Self::default()
        }
    }
}

impl From<DhtMode> for core::DhtMode {
    fn from(mode: DhtMode) -> Self {
        match mode {
            DhtMode::Public => Self::Public,
            DhtMode::Bootstrap { nodes } => Self::Bootstrap(nodes),
        }
    }
}
