//! The owners of rooms: keys, limits, and the sockets that are connected.
//!
//! A [`Tenant`] holds what stays while its configuration changes: identity, counters, sockets; it lives as long as a
//! source specifies it. Its [`Policy`] is what applies to it at the moment, and is replaced while clients are connected.
//! The [`Registry`] keeps both in step with the sources, and a change of one tenant touches no other.

mod allowance;
#[cfg(feature = "postgres")]
pub mod database;
mod database_status;
#[cfg(not(feature = "postgres"))]
mod databases_absent;
mod lookups;
mod message_records;
mod naming;
mod policy;
mod policy_notifier;
mod registry;
mod rekey;
mod rolling_rate;
mod sockets;
mod source;
mod spec;
mod spec_table;
mod specified;
mod stored;
mod tenant;

pub use allowance::Allowance;
#[cfg(feature = "postgres")]
pub use database::{Databases, NO_DATABASE_REASON, check_address, database_authorizer};
pub use database_status::{
    ChangesStatus, DatabaseStatus, DatabaseUsability, DurableStatus, LogState, QuestionCounts,
};
#[cfg(not(feature = "postgres"))]
pub use databases_absent::{
    NoDatabases as Databases, WITHOUT_DATABASES, WITHOUT_DATABASES as NO_DATABASE_REASON, check_address,
    database_authorizer,
};
pub use message_records::{MessageRecord, MessageRecords, RecordPayload, RecordsError, RecordsQuery};
pub use naming::is_named_explicitly;
pub use policy::{Policy, TenantStatus};
pub use registry::{Registry, UnknownHost};
pub use rekey::{ENCRYPTED_SETTINGS, Rekey, RekeyMode, RekeyReport};
pub use sockets::{SocketRegistration, Sockets};
pub use source::{Expectation, SourceId, SourceUnavailable, TenantSource};
pub use spec::{DatabaseSpec, TenantOrigin, TenantSpec};
pub use specified::{DatabaseNotSpecified, specified_database};
pub use stored::{ChangedTenants, Refreshed, StoredTenants, WriteError, Written};
pub use tenant::Tenant;
