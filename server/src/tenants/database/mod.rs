//! The PostgreSQL of a tenant: what is stored there on behalf of its rooms.

pub mod partitions;
pub mod schema;
