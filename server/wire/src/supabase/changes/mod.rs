//! Subscriptions to the changes of tables («Postgres Changes»), and what their subscribers receive.
//!
//! A join asks for bindings, JSON objects that name tables, kinds of changes and conditions on the row. Its reply returns
//! each of them with an id. A change is delivered with the ids of the bindings that it matches.

mod binding;
mod elixir;
mod filter;
mod filter_list;
mod identity;

pub use binding::{Binding, BindingError, BindingEvent, NamePattern};
pub use filter::{Filter, FilterOperator};
pub use filter_list::FilterError;
pub use identity::{binding_echo, binding_ids, binding_of_topic};
