//! The partitions of messages: one for each day in UTC.

use std::time::SystemTime;

use futures_util::future::join_all;
use harness::Postgres;
use realtime_server::tenants::database::partitions::{
    Day, DroppedPartitions, drop_partitions_before, make_partitions,
};
use realtime_server::tenants::database::schema::{SchemaError, prepare};

use crate::{connect, today};

fn day(year: u16, month: u8, day: u8) -> Day {
    Day::new(year, month, day).unwrap()
}

/// The partitions with their bounds.
fn partitions(postgres: &Postgres) -> String {
    let bounds = "SELECT relname, pg_get_expr(relpartbound, oid) FROM pg_class
        WHERE relnamespace = 'realtime'::regnamespace AND relispartition AND relkind = 'r' ORDER BY 1";
    postgres.sql(bounds)
}

async fn with_schema() -> Postgres {
    let postgres = Postgres::start();
    prepare(&mut connect(&postgres).await).await.unwrap();
    postgres
}

#[tokio::test]
async fn there_is_one_for_each_day_from_yesterday_to_three_days_ahead() {
    let postgres = with_schema().await;
    let mut connection = connect(&postgres).await;
    let made = make_partitions(&mut connection, day(2028, 2, 28)).await.unwrap();
    assert_eq!(
        made,
        [day(2028, 2, 27), day(2028, 2, 28), day(2028, 2, 29), day(2028, 3, 1), day(2028, 3, 2)]
    );
    let bounds = "FOR VALUES FROM ('2028-02-29 00:00:00') TO ('2028-03-01 00:00:00')";
    assert!(
        partitions(&postgres).contains(&format!("messages_2028_02_29|{bounds}")),
        "{}",
        partitions(&postgres)
    );

    // A day later, one more. Some are missing: they are made.
    assert_eq!(make_partitions(&mut connection, day(2028, 2, 29)).await.unwrap(), [day(2028, 3, 3)]);
    postgres.sql("DROP TABLE realtime.messages_2028_03_01");
    assert_eq!(make_partitions(&mut connection, day(2028, 2, 29)).await.unwrap(), [day(2028, 3, 1)]);

    let of_one = "SELECT relrowsecurity, relacl IS NULL, relowner::regrole,
        (SELECT string_agg(pg_get_indexdef(indexrelid), E'\n' ORDER BY indexrelid::regclass::text)
         FROM pg_index WHERE indrelid = c.oid),
        (SELECT string_agg(conname, ' ' ORDER BY conname) FROM pg_constraint WHERE conrelid = c.oid)
        FROM pg_class AS c WHERE relname = 'messages_2028_03_01'";
    assert_eq!(
        postgres.sql(of_one),
        "t|t|supabase_realtime_admin|\
         CREATE INDEX messages_2028_03_01_inserted_at_topic_idx ON realtime.messages_2028_03_01 \
         USING btree (inserted_at DESC, topic) WHERE ((extension = 'broadcast'::text) AND (private IS TRUE))\n\
         CREATE UNIQUE INDEX messages_2028_03_01_pkey ON realtime.messages_2028_03_01 USING btree (id, inserted_at)|\
         messages_2028_03_01_pkey messages_payload_exclusive"
    );
}

#[tokio::test]
async fn ten_nodes_make_each_of_them_once() {
    let postgres = with_schema().await;
    let today = today(&postgres);
    let mut connections = join_all((0..10).map(|_| connect(&postgres))).await;
    let made = join_all(connections.iter_mut().map(|connection| make_partitions(connection, today))).await;
    let mut made: Vec<Day> = made.into_iter().flat_map(Result::unwrap).collect();
    made.sort();
    assert_eq!(made, (-1..=3).map(|days| today.plus(days)).collect::<Vec<_>>());
    let kept = today.plus(3);
    let dropped =
        join_all(connections.iter_mut().map(|connection| drop_partitions_before(connection, kept))).await;
    let mut dropped: Vec<Day> = dropped.into_iter().flat_map(|dropped| dropped.unwrap().dropped).collect();
    dropped.sort();
    assert_eq!(dropped, made[..4]);
    assert_eq!(partitions(&postgres).lines().count(), 1);
}

#[tokio::test]
async fn a_transaction_that_has_written_messages_delays_no_partition() {
    let postgres = with_schema().await;
    let mut connection = connect(&postgres).await;
    let today = today(&postgres);
    make_partitions(&mut connection, today).await.unwrap();
    let mut writer = postgres.session();
    writer.run("BEGIN; SELECT realtime.send('{}', 'e', 't'); SELECT count(*) FROM realtime.messages");
    assert_eq!(make_partitions(&mut connection, today.plus(1)).await.unwrap(), [today.plus(4)]);
}

#[tokio::test]
async fn only_partitions_of_earlier_days_are_dropped() {
    let postgres = with_schema().await;
    let mut connection = connect(&postgres).await;
    make_partitions(&mut connection, day(2026, 11, 30)).await.unwrap();
    postgres.sql(
        "CREATE TABLE realtime.messages_2020_01_01 (note text);
         CREATE TABLE realtime.messages_2020 PARTITION OF realtime.messages FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
         CREATE TABLE public.messages_2020_03_01 PARTITION OF realtime.messages FOR VALUES FROM ('2020-03-01') TO ('2020-03-02')",
    );
    let dropped = drop_partitions_before(&mut connection, day(2026, 12, 1)).await.unwrap();
    let expected = DroppedPartitions { dropped: vec![day(2026, 11, 29), day(2026, 11, 30)], in_use: vec![] };
    assert_eq!(dropped, expected);
    let left = "SELECT oid::regclass FROM pg_class 
        WHERE relname LIKE 'messages\\_20%' AND relkind = 'r' ORDER BY relname COLLATE \"C\"";
    assert_eq!(
        postgres.sql(left),
        "realtime.messages_2020\nrealtime.messages_2020_01_01\nmessages_2020_03_01\nrealtime.messages_2026_12_01\n\
         realtime.messages_2026_12_02\nrealtime.messages_2026_12_03"
    );
    assert_eq!(drop_partitions_before(&mut connection, day(2026, 12, 1)).await.unwrap(), Default::default());
}

#[tokio::test]
async fn one_that_is_in_use_is_left_to_the_next_time() {
    let postgres = with_schema().await;
    let mut connection = connect(&postgres).await;
    make_partitions(&mut connection, day(2026, 11, 30)).await.unwrap();
    let mut reader = postgres.session();
    reader.run("BEGIN; SELECT count(*) FROM realtime.messages_2026_11_29");
    let dropped = drop_partitions_before(&mut connection, day(2026, 12, 1)).await.unwrap();
    let expected = DroppedPartitions { dropped: vec![day(2026, 11, 30)], in_use: vec![day(2026, 11, 29)] };
    assert_eq!(dropped, expected);
    reader.run("COMMIT");
    let dropped = drop_partitions_before(&mut connection, day(2026, 12, 1)).await.unwrap();
    assert_eq!(dropped.dropped, [day(2026, 11, 29)]);
}

#[tokio::test]
async fn one_day_that_cannot_be_made_does_not_prevent_the_others() {
    let postgres = with_schema().await;
    let mut connection = connect(&postgres).await;
    postgres.sql("CREATE TABLE realtime.messages_2026_11_30 (note text)");
    let refused = make_partitions(&mut connection, day(2026, 11, 30)).await;
    assert!(matches!(refused, Err(SchemaError::Occupied(_))), "{refused:?}");
    assert_eq!(partitions(&postgres).lines().count(), 4);
}

#[tokio::test]
async fn the_time_zone_of_the_database_moves_no_message_to_another_day() {
    let postgres = with_schema().await;
    postgres.sql(
        "ALTER DATABASE CURRENT_DATABASE SET TimeZone TO 'Asia/Tokyo'"
            .replace("CURRENT_DATABASE", &postgres.sql("SELECT current_database()"))
            .as_str(),
    );
    let mut connection = connect(&postgres).await;
    assert_eq!(postgres.sql("SHOW TimeZone"), "Asia/Tokyo");
    let today = Day::at(SystemTime::now());
    make_partitions(&mut connection, today).await.unwrap();
    let bounds = format!("FOR VALUES FROM ('{today} 00:00:00') TO ('{} 00:00:00')", today.plus(1));
    assert!(partitions(&postgres).contains(&format!("{}|{bounds}", today.partition())));
    postgres.sql(
        r"SELECT realtime.send('{}', 'e', 't'); SELECT realtime.send_binary('\x00', 'e', 't');
          INSERT INTO realtime.messages (topic, extension) VALUES ('t', 'broadcast')",
    );
    let near = "SELECT count(*) FROM realtime.messages
        WHERE abs(extract(epoch FROM now() AT TIME ZONE 'UTC' - inserted_at)) < 60
          AND abs(extract(epoch FROM now() AT TIME ZONE 'UTC' - updated_at)) < 60";
    assert_eq!(postgres.sql(near), "3");
}
