//! Ids, which cross the border as hexadecimal text and have a type of their own on each side.

pub use ailurus::channel::{ChannelId, MessageId};
pub use ailurus::crypto::{NodeKey, PublicKey};

use crate::AilurusError;

macro_rules! id {
    ($name:ident, $what:literal) => {
        uniffi::custom_type!($name, String, {
            remote,
            try_lift: |text| text.parse().map_err(|error| {
                AilurusError::BadInput(format!(concat!("this is not ", $what, ": {}"), error)).into()
            }),
            lower: |id| id.to_string(),
        });
    };
}

id!(ChannelId, "the id of a channel");
id!(MessageId, "the id of a message");
id!(NodeKey, "the id of a super node");
id!(PublicKey, "the key of an author");
