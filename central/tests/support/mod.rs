//! Real servers for tests: PostgreSQL, Garage (S3), mosquitto, RabbitMQ, Redis, HAProxy, Prometheus and gtv-sync, each
//! on its own free port in its own temporary folder, stopped on drop. `stop()` and `start()` on the same port and data make outages.
//! A missing program fails the test with the remedy; nothing is skipped.
//!
//! The API blocks (a start takes about a second), so that any kind of test can use it. The box daemon's tests include
//! this folder by `#[path]`; it knows nothing of gtv-sync's insides.
#![allow(dead_code, unused_imports)] // Each test binary uses its own part of this folder.

pub mod authority;
pub mod center;
pub mod garage;
pub mod haproxy;
pub mod mosquitto;
pub mod moto;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod prometheus;
pub mod rabbitmq;
pub mod redis;

pub use authority::Authority;
pub use center::Center;
pub use garage::Garage;
pub use haproxy::Haproxy;
pub use mosquitto::Mosquitto;
pub use postgres::Postgres;
pub use prometheus::Prometheus;
pub use rabbitmq::Rabbitmq;
pub use redis::Redis;
