//! What every command is told of the node: the command line over the file over the defaults.

use std::{net::SocketAddr, path::PathBuf};

use ailurus::net::DhtMode;
use ailurus_node::{Config, ConfigError, ConfigFile, parse_host_port, parse_offset};
use clap::Args;

use super::exit::Failure;

#[derive(Args)]
#[command(next_help_heading = "Settings")]
pub struct Settings {
    /// Directory of the node's key and database; made if missing
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// UDP address to listen on; port 0 is chosen once and kept
    #[arg(long, global = true, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Host and port that the node link shows, if not the listen address
    #[arg(long, global = true, value_name = "HOST:PORT", value_parser = parse_host_port)]
    pub advertise: Option<(String, u16)>,
    /// TCP address of Prometheus /metrics and of /health; off if not given
    #[arg(long, global = true, value_name = "ADDR")]
    pub metrics: Option<SocketAddr>,
    /// DHT in which nodes find each other: off, public, or HOST:PORT,… of nodes to enter it by
    #[arg(long, global = true, value_name = "DHT")]
    pub dht: Option<DhtMode>,
    /// TOML file with these settings and the limits
    #[arg(long, global = true, value_name = "FILE", env = "AILURUS_NODE_CONFIG")]
    pub config: Option<PathBuf>,
    /// The data directory was copied back by other means than `restore`: have all clients reconcile
    #[arg(long)]
    pub restored: bool,
    /// The clock is right, however far ahead it is of where it was: delete what is over at once
    #[arg(long)]
    pub trust_clock: bool,
    /// Shift the clock, for tests: 8d, 90m, -3h
    #[arg(long, global = true, value_name = "DURATION", value_parser = parse_offset, allow_hyphen_values = true)]
    pub clock_offset: Option<i64>,
}

impl Settings {
    /// The whole configuration.
    pub fn config(self) -> Result<Config, Failure> {
        let file = self.file()?;
        let advertised = file.advertise.as_deref().map(parse_host_port);
        let advertised = advertised.transpose()?;
        let dht = file.dht.as_deref().map(str::parse).transpose();
        let dht = dht.map_err(ConfigError::from)?;
        let Some(data) = self.data.or(file.data) else {
            return Err(Failure::missing("--data DIR"));
        };
        let Some(listen) = self.listen.or(file.listen) else {
            return Err(Failure::missing("--listen ADDR"));
        };
        Ok(Config {
            data,
            listen,
            advertise: self.advertise.or(advertised),
            metrics: self.metrics.or(file.metrics),
            dht: self.dht.or(dht).unwrap_or_default(),
            restored: self.restored,
            trust_clock: self.trust_clock,
            push: file.push,
            limits: file.limits,
        })
    }

    /// The data directory alone, for commands that need no more.
    pub fn data(&self) -> Result<PathBuf, Failure> {
        match &self.data {
            Some(data) => Ok(data.clone()),
            None => self
                .file()?
                .data
                .ok_or_else(|| Failure::missing("--data DIR")),
        }
    }

    /// The clock's offset in milliseconds.
    pub fn offset_ms(&self) -> i64 {
        self.clock_offset.unwrap_or(0)
    }

    fn file(&self) -> Result<ConfigFile, Failure> {
        match &self.config {
            Some(path) => Ok(ConfigFile::read(path)?),
            None => Ok(ConfigFile::default()),
        }
    }
}
