//! The plan in virtual time: what a phone does in a day, what it costs, and what odd input makes of it.

#[path = "power/budgets.rs"]
mod budgets;
#[path = "power/clocks.rs"]
mod clocks;
#[path = "power/dues.rs"]
mod dues;
#[path = "power/flapping.rs"]
mod flapping;
#[path = "power/phone.rs"]
mod phone;
#[path = "power/states.rs"]
mod states;
