//! cmd

pub mod check;
mod evidence;
pub mod export;
pub mod read;
pub mod verify;
