//! Waking clients by push, RFC 8030 or an operator's gateway: whom and when ([`Pushes`]), where to ([`Target`]), and under
//! which key ([`Vapid`]). Neither owns a socket, a clock or a task; the server sends.

mod bucket;
mod host;
mod plan;
mod public;
mod target;
mod vapid;

pub(crate) use ailurus::channel::PushChallenge as Challenge;

pub(crate) use self::{
    plan::{Body, Due, Outcome, Pushes, Rates},
    public::is_public,
    target::{Endpoint, Host, Target, TargetError, bare},
    vapid::Vapid,
};
