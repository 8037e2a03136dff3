//! The starters of real servers keep their promise: same port and data after an outage.

mod support;

use std::net::TcpStream;

#[test]
fn postgres_keeps_port_and_data_over_stop_and_kill() {
    let mut postgres = support::Postgres::start_new();
    let (url, port) = (postgres.url(), postgres.port());
    postgres.create_database("kept");
    for outage in [support::Postgres::stop, support::Postgres::kill] {
        outage(&mut postgres);
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "still answers");
        postgres.start();
        assert_eq!(postgres.url(), url);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) =
            tokio_postgres::connect(&postgres.url_of("kept"), tokio_postgres::NoTls).await.unwrap();
        let driver = tokio::spawn(connection);
        assert_eq!(client.query_one("SELECT 1", &[]).await.unwrap().get::<_, i32>(0), 1);
        drop(client);
        driver.await.unwrap().unwrap();
    });
}

#[test]
fn garage_keeps_buckets_over_stop_and_kill() {
    let mut garage = support::Garage::start_new("");
    let endpoint = garage.endpoint();
    for outage in [support::Garage::stop, support::Garage::kill] {
        outage(&mut garage);
        garage.start();
        assert_eq!(garage.endpoint(), endpoint);
    }
}

#[test]
fn mosquitto_comes_back_on_its_port() {
    let mut broker = support::Mosquitto::start_new();
    let port = broker.port();
    broker.kill();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "still answers");
    broker.start();
    assert_eq!(broker.port(), port);
}
