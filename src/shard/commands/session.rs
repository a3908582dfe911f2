//! The session's own role. Who may become what is decided here and nowhere else; the answer is audited.

use crate::shard::table::{Deed, REASON, Row, Run};
use crate::wire::Role;

pub(in crate::shard) static ESCALATE: Row = Row {
    name: "escalate",
    args: &[REASON],
    role: Role::Viewer,
    destructive: false,
    help: "become admin: asks for the admin token where one is configured, else for a reason",
    run: Run::Shard(|_, _| Ok(Deed::Role(Role::Admin))),
};

pub(in crate::shard) static VIEWER: Row = Row {
    name: "viewer",
    args: &[],
    role: Role::Viewer,
    destructive: false,
    help: "become viewer again",
    run: Run::Shard(|_, _| Ok(Deed::Role(Role::Viewer))),
};
