//! Channels: access, links and QR codes, epochs, sealing and opening envelopes. No IO, no clock.
//!
//! [`Access`] is what somebody holds; a [`Link`] is how it is shared. An author's [`message`] travels inside an
//! [`Envelope`], which is all that a super node sees. `docs/PROTOCOL.md` sections 2 to 4 and 6 specify the bytes.
//! [`probe`] is a poll by datagram (section 5.15).

pub mod access;
pub mod address;
pub mod delegation;
pub mod envelope;
pub mod epoch;
pub mod introduction;
pub mod invitation;
pub mod link;
pub mod message;
pub mod node_link;
pub mod padding;
pub mod probe;
pub mod push;
pub mod qr;
pub mod record;
pub mod rotation;
pub mod text;

pub use access::{Access, AccessKind, ChannelId, DhtKey, NarrowError, NewChannel};
pub use address::{Address, AddressKeys, lease_statement};
pub use delegation::delegation_statement;
pub use envelope::{Envelope, EnvelopeError, EnvelopeId, Header, Kind, TimeError};
pub use epoch::{Epoch, EpochError, ReadChain, ReadSecret};
pub use introduction::{ChainId, HopCount, Introduction, IntroductionError};
pub use invitation::{Invitation, InvitationError};
pub use link::{Link, LinkError};
pub use message::{AuthorHint, MessageId, Previous};
pub use node_link::{NodeLink, NodeLinkError};
pub use probe::{SealedTicket, Standing, Ticket, TicketSecret};
pub use push::{PushChallenge, PushMessage, VapidKey};
pub use record::{RecordError, RecordKey, RecordSecret, RecordSigner, SignedRecord, own_slots};
