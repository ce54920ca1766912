//! Access to a channel: which keys a holder has, and how they follow from each other (docs/PROTOCOL.md, section 2).

use std::fmt;

use zeroize::Zeroizing;

use crate::crypto::{
    BlindError, DhPublic, DhSecret, Entropy, NodeSecret, PublicKey, SigningKey, blind_signing, kdf,
    newtype::{id_newtype, secret_newtype},
};

use super::{
    address::{AddressKeys, AddressSecret},
    epoch::{Epoch, ReadChain, ReadSecret},
};

/// What a link gives its holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccessKind {
    /// Read and write.
    Full,
    /// Verify and decrypt, but not write.
    Read,
    /// Write, but not read.
    Write,
}

impl AccessKind {
    /// May open messages.
    pub fn reads(self) -> bool {
        self != Self::Write
    }

    /// May sign envelopes.
    pub fn writes(self) -> bool {
        self != Self::Read
    }
}

impl fmt::Display for AccessKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

id_newtype! {
    /// Names a channel to those inside it: a tagged hash of the write public key. Rotation gives a new one.
    pub struct ChannelId[32];
}

id_newtype! {
    /// The Ed25519 master key under which a channel's super nodes are found in the DHT.
    pub struct DhtKey[32];
}

secret_newtype! {
    /// What a channel is made from: write key and reader root follow from it.
    pub struct Root[32];
}

secret_newtype! {
    /// What readers share: address secret and sealing key follow from it.
    pub struct ReaderRoot[32];
}

/// The keys of one channel that somebody holds.
pub struct Access {
    write_public: PublicKey,
    address_secret: AddressSecret,
    sealing_public: DhPublic,
    dht: DhtKey,
    admin: PublicKey,
    holding: Holding,
}

/// The part that differs by kind of access.
enum Holding {
    Full(Box<FullHolding>),
    Read {
        reader_root: ReaderRoot,
        sealing: DhSecret,
    },
    Write {
        write: Box<SigningKey>,
    },
}

struct FullHolding {
    origin: Origin,
    write: SigningKey,
    reader_root: ReaderRoot,
    sealing: DhSecret,
}

/// Where full access comes from.
pub(super) enum Origin {
    Root(Root),
    /// The scalar of an imported `pr…` string.
    RedPanda(Box<SigningKey>),
}

/// A new channel: its access, the admin key of its creator and its first read secret.
pub struct NewChannel {
    /// Full access.
    pub access: Access,
    /// Stays with the creator.
    pub admin: SigningKey,
    /// Random, and derived from nothing else.
    pub read: ReadChain,
}

impl NewChannel {
    /// Makes a channel in `epoch`.
    pub fn create(epoch: Epoch, entropy: &mut dyn Entropy) -> Self {
        let admin = SigningKey::random(entropy);
        let (access, read) = Self::create_for(admin.public(), epoch, entropy);
        Self {
            access,
            admin,
            read,
        }
    }

    /// Makes new keys for a channel whose admin stays: what rotation needs.
    pub fn create_for(
        admin: PublicKey,
        epoch: Epoch,
        entropy: &mut dyn Entropy,
    ) -> (Access, ReadChain) {
        let root = Root::random(entropy);
        let read = ReadChain::new(epoch, ReadSecret::random(entropy));
        (Access::from_root(root, admin), read)
    }
}

impl Access {
    /// Full access from its root.
    pub fn from_root(root: Root, admin: PublicKey) -> Self {
        let write = SigningKey::derive_from(root.expose(), "ailurus/write-key");
        let reader_root =
            ReaderRoot::from_bytes(*kdf::derive(root.expose(), "ailurus/reader-root", &[]));
        Self::full(Origin::Root(root), write, reader_root, admin)
    }

    /// Full access, admin key and read chain (from epoch 0) of a redPanda scalar: HKDF(scalar, label) each
    /// (DESIGN.md, "redPanda strings"). The scalar itself never signs or encrypts.
    pub fn from_redpanda(scalar: SigningKey) -> NewChannel {
        let secret = scalar.expose();
        let write = SigningKey::derive_from(secret.as_slice(), "ailurus/redpanda/write-key");
        let admin = SigningKey::derive_from(secret.as_slice(), "ailurus/redpanda/admin-key");
        let reader_root = ReaderRoot::from_bytes(*kdf::derive(
            secret.as_slice(),
            "ailurus/redpanda/reader-root",
            &[],
        ));
        let read = ReadSecret::from_bytes(*kdf::derive(
            secret.as_slice(),
            "ailurus/redpanda/read-secret",
            &[],
        ));
        let access = Self::full(
            Origin::RedPanda(Box::new(scalar)),
            write,
            reader_root,
            admin.public(),
        );
        NewChannel {
            access,
            admin,
            read: ReadChain::new(Epoch::new(0), read),
        }
    }

    /// Read access from what a Read link carries.
    pub fn from_reader(
        write_public: PublicKey,
        reader_root: ReaderRoot,
        dht: DhtKey,
        admin: PublicKey,
    ) -> Self {
        let (address_secret, sealing) = reader_keys(&reader_root);
        Self {
            write_public,
            address_secret,
            sealing_public: sealing.public(),
            dht,
            admin,
            holding: Holding::Read {
                reader_root,
                sealing,
            },
        }
    }

    /// Write access from what a Write link carries.
    pub fn from_writer(
        write: SigningKey,
        address_secret: AddressSecret,
        sealing_public: DhPublic,
        admin: PublicKey,
    ) -> Self {
        Self {
            write_public: write.public(),
            address_secret,
            sealing_public,
            dht: dht_secret(&write).1,
            admin,
            holding: Holding::Write {
                write: Box::new(write),
            },
        }
    }

    fn full(origin: Origin, write: SigningKey, reader_root: ReaderRoot, admin: PublicKey) -> Self {
        let (address_secret, sealing) = reader_keys(&reader_root);
        Self {
            write_public: write.public(),
            address_secret,
            sealing_public: sealing.public(),
            dht: dht_secret(&write).1,
            admin,
            holding: Holding::Full(Box::new(FullHolding {
                origin,
                write,
                reader_root,
                sealing,
            })),
        }
    }

    /// The same channel with less access, for sharing.
    ///
    /// # Errors
    /// See [`NarrowError`].
    pub fn narrow(&self, to: AccessKind) -> Result<Self, NarrowError> {
        let Holding::Full(full) = &self.holding else {
            if to != self.kind() {
                return Err(NarrowError::NotHeld {
                    held: self.kind(),
                    wanted: to,
                });
            }
            return Ok(self.duplicate());
        };
        match to {
            AccessKind::Full => Ok(self.duplicate()),
            AccessKind::Read => Ok(Self::from_reader(
                self.write_public,
                full.reader_root.duplicate(),
                self.dht,
                self.admin,
            )),
            AccessKind::Write if matches!(full.origin, Origin::RedPanda(_)) => {
                Err(NarrowError::RedPandaWrite)
            }
            AccessKind::Write => Ok(Self::from_writer(
                full.write.duplicate(),
                self.address_secret.duplicate(),
                self.sealing_public,
                self.admin,
            )),
        }
    }

    /// An explicit copy.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self {
            write_public: self.write_public,
            address_secret: self.address_secret.duplicate(),
            sealing_public: self.sealing_public,
            dht: self.dht,
            admin: self.admin,
            holding: match &self.holding {
                Holding::Full(full) => Holding::Full(Box::new(FullHolding {
                    origin: match &full.origin {
                        Origin::Root(root) => Origin::Root(root.duplicate()),
                        Origin::RedPanda(scalar) => Origin::RedPanda(Box::new(scalar.duplicate())),
                    },
                    write: full.write.duplicate(),
                    reader_root: full.reader_root.duplicate(),
                    sealing: full.sealing.duplicate(),
                })),
                Holding::Read {
                    reader_root,
                    sealing,
                } => Holding::Read {
                    reader_root: reader_root.duplicate(),
                    sealing: sealing.duplicate(),
                },
                Holding::Write { write } => Holding::Write {
                    write: Box::new(write.duplicate()),
                },
            },
        }
    }

    /// Which access this is.
    pub fn kind(&self) -> AccessKind {
        match self.holding {
            Holding::Full(_) => AccessKind::Full,
            Holding::Read { .. } => AccessKind::Read,
            Holding::Write { .. } => AccessKind::Write,
        }
    }

    /// The channel it is for.
    pub fn channel_id(&self) -> ChannelId {
        ChannelId::from_bytes(kdf::tagged_hash(
            "ailurus/channel",
            &[self.write_public.as_bytes()],
        ))
    }

    /// The write public key, before blinding.
    pub fn write_public(&self) -> &PublicKey {
        &self.write_public
    }

    /// The first admin's key.
    pub fn admin(&self) -> &PublicKey {
        &self.admin
    }

    /// The DHT master key.
    pub fn dht(&self) -> &DhtKey {
        &self.dht
    }

    /// To whom write-only members seal.
    pub fn sealing_public(&self) -> &DhPublic {
        &self.sealing_public
    }

    /// Opens what write-only members sealed; none for them.
    pub fn sealing(&self) -> Option<&DhSecret> {
        match &self.holding {
            Holding::Full(full) => Some(&full.sealing),
            Holding::Read { sealing, .. } => Some(sealing),
            Holding::Write { .. } => None,
        }
    }

    /// True if every importer of a `pr…` string has the same secrets, so that nothing is forward secret.
    pub fn is_redpanda(&self) -> bool {
        self.redpanda_scalar().is_some()
    }

    /// The keys of the address in `epoch`.
    pub fn address_keys(&self, epoch: Epoch) -> Result<AddressKeys, BlindError> {
        AddressKeys::derive(&self.write_public, &self.address_secret, epoch)
    }

    /// Signs envelopes of `epoch`; none with read access. The key never leaves the process.
    pub fn blinded_signing(&self, epoch: Epoch) -> Result<Option<SigningKey>, BlindError> {
        let Some(write) = self.write() else {
            return Ok(None);
        };
        blind_signing(write, self.address_secret.expose(), epoch.number()).map(Some)
    }

    pub(super) fn address_secret(&self) -> &AddressSecret {
        &self.address_secret
    }

    pub(super) fn write_private(&self) -> Option<Zeroizing<[u8; 32]>> {
        self.write().map(SigningKey::expose)
    }

    pub(super) fn reader_root(&self) -> Option<&ReaderRoot> {
        match &self.holding {
            Holding::Full(full) => Some(&full.reader_root),
            Holding::Read { reader_root, .. } => Some(reader_root),
            Holding::Write { .. } => None,
        }
    }

    pub(super) fn root(&self) -> Option<&Root> {
        match &self.holding {
            Holding::Full(full) => match &full.origin {
                Origin::Root(root) => Some(root),
                Origin::RedPanda(_) => None,
            },
            _ => None,
        }
    }

    pub(super) fn redpanda_scalar(&self) -> Option<&SigningKey> {
        match &self.holding {
            Holding::Full(full) => match &full.origin {
                Origin::RedPanda(scalar) => Some(scalar),
                Origin::Root(_) => None,
            },
            _ => None,
        }
    }

    pub(super) fn write(&self) -> Option<&SigningKey> {
        match &self.holding {
            Holding::Full(full) => Some(&full.write),
            Holding::Write { write } => Some(write),
            Holding::Read { .. } => None,
        }
    }
}

/// Why access cannot be narrowed as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NarrowError {
    /// The holder lacks the keys.
    #[error(
        "you have {held} access to this channel, so you cannot share {wanted} access; ask a member with full access"
    )]
    NotHeld {
        /// What the holder has.
        held: AccessKind,
        /// What was asked for.
        wanted: AccessKind,
    },
    /// A redPanda channel has no forward secrecy, so its full access always opens its past.
    #[error(
        "a redPanda channel's full access always opens its past; share read access without history, or rotate it to a native channel first"
    )]
    RedPandaHistory,
    /// A redPanda channel has one key for everything.
    #[error(
        "a redPanda channel has one secret for reading and writing and no write-only access; rotate it to a native channel first"
    )]
    RedPandaWrite,
}

fn reader_keys(root: &ReaderRoot) -> (AddressSecret, DhSecret) {
    let address = kdf::derive(root.expose(), "ailurus/address-secret", &[]);
    let sealing = kdf::derive(root.expose(), "ailurus/sealing-key", &[]);
    (
        AddressSecret::from_bytes(*address),
        DhSecret::from_bytes(*sealing),
    )
}

/// The Ed25519 key pair of the channel's DHT records, known to everyone who may write.
pub(super) fn dht_secret(write: &SigningKey) -> (NodeSecret, DhtKey) {
    let seed = kdf::derive(write.expose().as_slice(), "ailurus/dht-key", &[]);
    let secret = NodeSecret::from_bytes(*seed);
    let public = DhtKey::from_bytes(*secret.public().as_bytes());
    (secret, public)
}
