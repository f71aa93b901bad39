//! Changes of tables, sent to the channels that have subscribed to them («Postgres Changes»,
//! docs/protocol/postgres-changes.md).
//!
//! | module | responsibility |
//! |---|---|
//! | `subscriber`, `subscription_progress`, `viewer`, `service`, `subscribing` | a channel with subscriptions, and what it takes until changes flow |
//! | `checking`, `shared_checks`, `check_turns`, `slow_checks` | what a channel has subscribed to, asked once for those that ask for the same |
//! | `tenant_changes`, `subscriptions`, `checked_subscription`, `index` | the subscriptions of a tenant, and how a row finds them |
//! | `compiled_filter`, `operand` | filters, evaluated in this process where that gives what the database would |
//! | `feed`, `session_queue` | from the reader of the log to the task that handles its changes |
//! | `stream`, `log_change`, `log_table`, `log_tables` | rows of the write-ahead log, in the order of commits |
//! | `completed_rows`, `converted_rows` | what the log does not have of rows |
//! | `matching`, `evaluation` | who a row is for |
//! | `lookups`, `table_lookup`, `role_privileges` | who may see it |
//! | `row_question` | how the database is asked about rows |
//! | `excluded`, `excluded_viewers`, `slow_filters`, `filters_in_time`, `outage`, `hidden_transactions` | what the database is not asked for now, and how long changes wait for it |
//! | `delivery`, `wait_budget` | what is sent, and how long clients that read slowly are waited for |
//! | `by_address` | keys that stand for one object |
//! | `notices` | what subscribers are notified of when they miss changes |
//!
//! A row takes this way: it is read from the write-ahead log by each node with subscribers, matched with these in memory, looked
//! up once for all viewers with the same claims, written once for those who see the same, and framed once for those who have
//! subscribed to the same.

#[cfg(not(feature = "postgres"))]
mod absent;
#[cfg(feature = "postgres")]
mod by_address;
#[cfg(feature = "postgres")]
mod check_turns;
#[cfg(feature = "postgres")]
mod checked_subscription;
#[cfg(feature = "postgres")]
mod checking;
#[cfg(feature = "postgres")]
mod compiled_filter;
#[cfg(feature = "postgres")]
mod completed_rows;
#[cfg(feature = "postgres")]
mod converted_rows;
#[cfg(feature = "postgres")]
mod delivery;
#[cfg(feature = "postgres")]
mod evaluation;
#[cfg(feature = "postgres")]
mod excluded;
#[cfg(feature = "postgres")]
mod excluded_viewers;
#[cfg(feature = "postgres")]
mod feed;
#[cfg(feature = "postgres")]
mod filters_in_time;
#[cfg(feature = "postgres")]
mod hidden_transactions;
#[cfg(feature = "postgres")]
mod index;
#[cfg(feature = "postgres")]
mod log_change;
#[cfg(feature = "postgres")]
mod log_table;
#[cfg(feature = "postgres")]
mod log_tables;
#[cfg(feature = "postgres")]
mod lookups;
#[cfg(feature = "postgres")]
mod matching;
#[cfg(feature = "postgres")]
mod notices;
#[cfg(feature = "postgres")]
mod operand;
#[cfg(feature = "postgres")]
mod outage;
#[cfg(feature = "postgres")]
mod role_privileges;
#[cfg(feature = "postgres")]
mod row_question;
#[cfg(feature = "postgres")]
mod service;
#[cfg(feature = "postgres")]
mod session_queue;
#[cfg(feature = "postgres")]
mod shared_checks;
#[cfg(feature = "postgres")]
mod slow_checks;
#[cfg(feature = "postgres")]
mod slow_filters;
#[cfg(feature = "postgres")]
mod stream;
#[cfg_attr(
    not(feature = "postgres"),
    expect(dead_code, reason = "without databases a channel is only refused")
)]
mod subscriber;
#[cfg(feature = "postgres")]
mod subscribing;
#[cfg_attr(
    not(feature = "postgres"),
    expect(dead_code, reason = "without databases a channel is only refused")
)]
mod subscription_progress;
#[cfg(feature = "postgres")]
mod subscriptions;
#[cfg(feature = "postgres")]
mod table_lookup;
#[cfg(feature = "postgres")]
mod tenant_changes;
mod viewer;
#[cfg(feature = "postgres")]
mod wait_budget;

#[cfg(not(feature = "postgres"))]
pub use self::absent::{NoChanges as PostgresChanges, NoSubscription as ChangeSubscription};
#[cfg(feature = "postgres")]
pub use self::service::{ChangeSubscription, PostgresChanges};
pub use self::subscriber::{ChangesRequest, SubscribeError};
