//! The PostgreSQL databases of tenants: policies of private rooms, broadcasts from the database, replay
//! (docs/protocol/postgres.md#the-database-of-a-tenant).
//!
//! A [`TenantDatabase`] is there from the first join of a client of its tenant until the last one has been gone for
//! `database.idle_timeout`, and is replaced when its settings change. Its task connects, makes what has to be in the
//! database, and says whether it can be used; nothing that a client asks for connects by itself.

mod address;
mod change_following;
mod change_progress;
mod change_sink;
pub mod changes;
mod client_roles;
mod connection;
mod database_task;
mod databases;
mod exhaustion;
mod failure;
mod literal;
pub mod log;
mod log_times;
mod login;
mod operators;
pub mod partitions;
mod password;
mod policies;
mod preparation;
mod preparing_connection;
mod question;
mod questions;
mod reader;
mod records;
pub mod schema;
mod session;
mod shared_answers;
mod state;
mod unused_slots;

pub use self::address::{NO_DATABASE_REASON, check_address};
pub use self::change_following::{CHANGES_IDLE, ChangeDemand};
pub use self::change_sink::{BatchReceipt, ChangeBatch, ChangeSession, ChangeSink};
pub use self::connection::TenantDatabase;
pub use self::databases::Databases;
pub use self::failure::DatabaseFailure;
pub use self::log_times::since_commit;
pub use self::policies::database_authorizer;
pub use self::preparing_connection::{Missing, PreparingConnection};
pub use self::reader::{
    DatabaseMessage, DatabaseMessages, DatabasePayload, DroppedMessage, Election, Reading,
};
pub use self::state::DatabaseState;
pub use self::unused_slots::UnusedSlots;
pub use super::database_status::LogState;
