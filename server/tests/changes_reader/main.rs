//! The reader of changes of tables, with a real PostgreSQL.

mod back_pressure;
mod demand;
mod durable;
mod node;
mod publication;
mod reading;
mod sink;
