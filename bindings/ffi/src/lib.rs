//! The UniFFI face of [`ailurus::client`] for Kotlin and Swift.
//!
//! Everything here wraps the Rust API one to one and decides nothing: types cross as records and enums, ids as text,
//! and each call runs on one runtime, so that no thread of the app is ever blocked. What is idiomatic in a language
//! (flows, sequences, the platform's key store and schedulers) lives in `bindings/kotlin` and `bindings/swift`.

#![warn(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub
)]

#[cfg(not(panic = "unwind"))]
compile_error!(
    "build with panic = \"unwind\": a panic must reach the app as an exception and not end it"
);

mod channel;
mod client;
mod error;
mod events;
mod ids;
mod link;
mod log;
mod nodes;
mod options;
mod platform;
mod power;
mod push;
mod qr;
mod records;
mod runtime;
mod vault;

pub use channel::{Channel, Rotation};
pub use client::Client;
pub use error::AilurusError;
pub use events::{Event, Listener, ListenerError, Notice, NoticeKind, Subscription};
pub use ids::{ChannelId, MessageId, NodeKey, PublicKey};
pub use link::{LinkInfo, inspect_link};
pub use log::{LogLevel, LogRecord, LogSink, LogSinkError, set_log_sink};
pub use nodes::{NodeLoad, NodeState, NodeStatus};
pub use options::{DhtMode, Options};
pub use power::{
    AppState, NetworkKind, NetworkState, Plan, PowerState, Preference, StandbyBucket, Usage,
    UsagePeriod, UsageReport, UsageRow, Wakeup, WakeupReason,
};
pub use push::{PushState, PushStatus, PushTarget, PushTrouble};
pub use qr::{QrCode, draw_qr, draw_qr_png, read_qr_luma, read_qr_png};
pub use records::{AccessKind, ChannelSummary, Member, Message, MessageState, Page, PollReport};
pub use runtime::Cancellation;
pub use vault::{KeyVault, VaultError};

uniffi::setup_scaffolding!("ailurus");

/// The version of this library, as "0.1.0": to compare with the version that the app was built with.
#[uniffi::export]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}
