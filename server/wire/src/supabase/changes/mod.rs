//! Subscriptions to the changes of tables («Postgres Changes»), and what their subscribers receive.
//!
//! A join asks for bindings, JSON objects that name tables, kinds of changes and conditions on the row. Its reply returns
//! each of them with an id. A change is delivered with the ids of the bindings that it matches.
//!
//! - [`Binding`] and its [`Filter`]s: what is asked for
//! - [`binding_ids`], [`binding_echo`]: what the reply returns
//! - [`RowChange`]: the change as JSON, the same for all members that may read the same columns
//! - [`ChangeEnvelope`] and [`LegacyChange`]: the frames around it

mod binding;
mod data;
mod elixir;
mod envelope;
mod filter;
mod filter_list;
mod identity;
mod row_layout;
mod timestamp;

pub use crate::change_type::ChangeType;
pub use binding::{Binding, BindingError, BindingEvent, NamePattern};
pub use data::{ChangeData, ChangedRows, RefusedChange, RowChange, column_list};
pub use envelope::{ChangeEnvelope, LegacyChange};
pub use filter::{Filter, FilterOperator};
pub use filter_list::FilterError;
pub use identity::{binding_echo, binding_ids, binding_of_topic};
pub use row_layout::{RowImage, RowLayout};
