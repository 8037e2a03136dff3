//! gtv-sync: takes the record chains of the boxes into PostgreSQL and checks the objects they name in S3.
//!
//! Order of a batch (invariants S1 to S3): verify signature and chain, verify objects, write the records and their
//! typed rows in one transaction, COMMIT, acknowledge. Any number of these services run side by side; they share
//! nothing but PostgreSQL and S3; RabbitMQ gets events and Redis the live status, where there are any.

pub mod api;
pub mod audit;
mod authority;
pub mod cmd;
pub mod days;
pub mod db;
pub mod events;
pub mod fleet;
pub mod live;
pub mod log;
pub mod metrics;
pub mod objects;
pub mod plates;
pub mod ready;
pub mod retention;
pub mod session;
pub mod settings;
pub mod web;
