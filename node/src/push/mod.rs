//! Waking clients by push, RFC 8030 or an operator's gateway: whom and when ([`Pushes`]), where to ([`Target`]), and under
//! which key ([`Vapid`]). Neither owns a socket, a clock or a task; the server sends.

mod host;
mod outcome;
mod plan;
mod public;
mod rates;
mod steady;
mod target;
mod vapid;

pub(crate) use ailurus::channel::PushChallenge as Challenge;

pub(crate) use self::{
    outcome::{Body, Due, Outcome},
    plan::Pushes,
    public::is_public,
    rates::Rates,
    target::{Endpoint, Host, Target, TargetError, bare},
    vapid::Vapid,
};
