//! The page's API over a real socket, with a real store: who may do what, and what each path answers.

mod access;
mod exports;
mod harness;
mod live;
mod media;
mod openapi;
mod plates;
mod push;
mod recording;
mod rtsp;
mod sockets;
mod sound;
mod timeline;
mod transcode;
mod watchlists;
