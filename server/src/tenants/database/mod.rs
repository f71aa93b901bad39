//! The PostgreSQL of a tenant: what is stored there on behalf of its rooms.

pub mod log;
pub mod partitions;
pub mod schema;
