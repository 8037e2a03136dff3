//! cmd

pub mod check;
mod evidence;
pub mod export;
pub mod verify;
