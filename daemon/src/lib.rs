//! The GT-Vision edge box. Layers, lowest last: `cmd`; `web`, `fleet`; `control`; `onvif`, `camera`, `record`,
//! `evidence`, `live`, `lpr`, `alerts`, `sync`, `update`; `store`, `media`; `config`; `base`. A module imports only from
//! layers below its own; `tests/tidy.rs` enforces it. The map is in `ARCHITECTURE.md`.

pub mod alerts;
pub mod base;
pub mod camera;
pub mod cmd;
pub mod config;
pub mod control;
pub mod evidence;
pub mod fleet;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod live;
pub mod lpr;
pub mod media;
pub mod onvif;
pub mod record;
pub mod store;
pub mod sync;
pub mod update;
pub mod web;
