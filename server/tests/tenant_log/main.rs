//! The session that reads the log of a tenant's database, with a real PostgreSQL.

mod authentication;
mod changes;
mod election;
mod ends;
mod reader;
mod refusals;
mod slow_reader;
mod tls;
