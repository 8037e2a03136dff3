//! The handlers, one file per subject. Each takes the page's state and a request and gives an answer or an error.
pub mod alerts;
pub mod audit;
pub mod cameras;
pub mod detections;
pub mod devices;
pub mod exports;
pub mod hls;
pub mod live;
pub mod ops;
pub mod recordings;
pub mod session;
pub mod status;
pub mod timeline;
pub mod users;
pub mod watch_entries;
pub mod watchlists;
pub mod whep;
mod zones;
