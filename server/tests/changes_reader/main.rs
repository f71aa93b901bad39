//! The reader of changes of tables, with a real PostgreSQL.

mod back_pressure;
mod demand;
mod node;
mod publication;
mod reading;
mod sink;
