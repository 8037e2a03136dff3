//! What the integration tests share.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod both_sides;
pub mod demo;
pub mod edge;
pub mod groups;
pub mod passage;
pub mod probe;
pub mod replay;
pub mod running;
pub mod truth;
