//! The schema `realtime` in a database of a tenant: how it is made, who may use it, and what its functions do.

mod auth_helpers;
mod change_functions;
mod filters;
mod partitions;
mod preparing;
mod privileges;
mod roles;
mod sending;

use harness::Postgres;
use realtime_server::tenants::database::partitions::{Day, make_partitions};
use realtime_server::tenants::database::schema::{Prepared, SchemaError, prepare};
use sqlx::{Connection as _, PgConnection};

async fn connect(postgres: &Postgres) -> PgConnection {
    PgConnection::connect(&postgres.url()).await.unwrap()
}

async fn connect_as(postgres: &Postgres, role: &str) -> PgConnection {
    let url = postgres.url().replace("postgres@", &format!("{role}@"));
    PgConnection::connect(&url).await.unwrap()
}

async fn prepare_as(postgres: &Postgres, role: &str) -> Result<Prepared, SchemaError> {
    prepare(&mut connect_as(postgres, role).await).await
}

/// The current day, as the database has it.
fn today(postgres: &Postgres) -> Day {
    let name = postgres.sql("SELECT to_char(now() AT TIME ZONE 'UTC', '\"messages\"_YYYY_MM_DD')");
    Day::of_partition(&name).unwrap()
}

/// A database with the schema and its partitions.
async fn prepared() -> Postgres {
    let postgres = Postgres::start();
    let mut connection = connect(&postgres).await;
    prepare(&mut connection).await.unwrap();
    make_partitions(&mut connection, today(&postgres)).await.unwrap();
    postgres
}
