//! What is measured. Each module has a suite of rows that are measured together, and the roles of its client processes.

mod asleep;
mod catch_up;
mod datagram;
mod empty_poll;
mod failover;
mod fan_out;
mod idle;
mod jvm;
mod node_cost;
mod phone;
mod publish;
mod reconcile;
mod restart;

use crate::harness::{Failure, row::Suite};

/// All suites, in the order in which they are measured.
pub const SUITES: &[Suite] = &[
    catch_up::SUITE,
    empty_poll::SUITE,
    publish::SUITE,
    publish::INGEST,
    fan_out::SUITE,
    idle::SUITE,
    restart::SUITE,
    asleep::SUITE,
    datagram::SUITE,
    reconcile::SUITE,
    failover::SUITE,
    node_cost::SUITE,
    phone::SUITE,
    jvm::SUITE,
];

/// Plays a role in another process.
pub fn play(role: &[String]) -> Result<(), Failure> {
    let Some((name, arguments)) = role.split_first() else {
        return Err("a role has a name".into());
    };
    let runtime = tokio::runtime::Runtime::new()?;
    let played = match name.as_str() {
        publish::ROLE => runtime.block_on(publish::play(arguments)),
        failover::ROLE => runtime.block_on(failover::play(arguments)),
        node_cost::ROLE => runtime.block_on(node_cost::play(arguments)),
        fan_out::ROLE => runtime.block_on(fan_out::play(arguments)),
        phone::COLD_START => phone::play_cold_start(arguments),
        phone::POLL => runtime.block_on(phone::play_poll(arguments)),
        asleep::ROLE => runtime.block_on(asleep::play(arguments)),
        datagram::ROLE => datagram::play(arguments),
        datagram::ECHO => datagram::play_echo(),
        idle::ROLE => runtime.block_on(idle::play(arguments)),
        _ => Err(format!("there is no role {name}").into()),
    };
    runtime.shutdown_background();
    played
}
